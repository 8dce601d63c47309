"""What every baseline is: something cheap that answers the same questions as the expert."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chiliad.data import Example


@dataclass(frozen=True)
class Baseline:
    """`predict` gives one answer per example, in order, and sees nothing of an example but its prompt."""

    name: str
    title: str
    predict: Callable[[Sequence[Example]], list[str]]
    rows_max: int | None = None
    """answer at most so many rows of a split, because each one is slow"""
