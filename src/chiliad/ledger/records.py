"""What is known of experts besides what they answered: how often they are right, and what their trainings took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Evidence(StrEnum):
    """Where the share of right answers comes from."""

    OUTCOMES = "outcomes"
    """what clients told of answers in use"""
    TEST = "test"
    """test rows of a card"""


@dataclass(frozen=True)
class RightShare:
    """How often an expert's answers are right: share of 1, over so many rows or answers, from `source`."""

    share: float
    rows: int
    by: Evidence
    source: str


@dataclass(frozen=True)
class Training:
    """A version's training. at_s: when it was made, in seconds since 1970; cost: as it was recorded then"""

    expert: str
    version: int
    at_s: float
    machine_s: float
    cost: float


class Records(Protocol):
    """Methods may read files and the database."""

    def score(self, model_id: str) -> RightShare | None:
        """How often `tickets@3` answers right, as its test rows tell; None for what was never tested."""

    def trainings(self) -> Sequence[Training]:
        """Every version that was trained here, those of an expert in the order of their making."""
