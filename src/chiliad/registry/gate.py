"""The promotion gate: a version becomes live only if it is not significantly worse than the live one, nor than the best
one that was live before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from chiliad.errors import PromotionRefused
from chiliad.registry.ids import ExpertRef

SIGNIFICANT_P = 0.05


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two versions answered the same frozen test rows; the difference is candidate minus live."""

    candidate: int
    live: int
    """the version that is compared with: the live one, or the best one before it"""
    dataset_hash: str
    metric: str
    candidate_score: float
    live_score: float
    delta: float
    p_value: float
    """two-sided, of a paired test"""
    low: float
    high: float
    """the interval of `delta` at 95 %"""
    n: int
    """test rows"""

    @property
    def measure(self) -> tuple[str, int]:
        """Scores by the same measure on as many rows are comparable."""
        return self.metric, self.n

    @property
    def significantly_worse(self) -> bool:
        """The gate asks only whether a version is worse, so it takes the test's one side: half of its `p_value`."""
        return self.delta < 0 and self.p_value / 2 < SIGNIFICANT_P

    def __str__(self) -> str:
        return (
            f"{self.metric} {self.candidate_score:.3f} against {self.live_score:.3f} on {self.n} rows "
            f"({self.delta:+.3f}, 95 % interval {self.low:+.3f} to {self.high:+.3f}, p = {self.p_value:.2g})"
        )

    def to_document(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        return cls(**document)


class Action(StrEnum):
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    WITHDRAW = "withdraw"
    """the live version was deleted by force; the alias points at nothing"""


@dataclass(frozen=True)
class Promotion:
    """One move of an alias: which version it left live, and on what evidence."""

    action: Action
    version: int
    at: datetime
    forced: bool = False
    comparison: Comparison | None = None

    def to_document(self) -> dict[str, Any]:
        comparison = self.comparison.to_document() if self.comparison else None
        return {**vars(self), "at": self.at.isoformat(), "comparison": comparison}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        comparison = document["comparison"]
        return cls(
            action=Action(document["action"]),
            version=document["version"],
            at=datetime.fromisoformat(document["at"]),
            forced=document["forced"],
            comparison=Comparison.from_document(comparison) if comparison else None,
        )


def judge(
    candidate: ExpertRef, live: int | None, comparison: Comparison | None, with_best: Comparison | None = None
) -> None:
    """Raises PromotionRefused unless `candidate` may take the place of version `live`.

    `with_best`: its comparison with the best version before, so that losses that are each too small to be seen do not add
    up. The first version of all takes nobody's place, whatever it is worth.
    """
    if live is None:
        return
    if comparison is None:
        raise PromotionRefused(
            f"{candidate} was never compared with the live version {live}.",
            fix=f"`chiliad experts promote {candidate}` compares them first; --force goes past the gate (and is recorded).",
        )
    if (comparison.candidate, comparison.live) != (candidate.number, live) or comparison.n == 0:
        raise PromotionRefused(
            f"The comparison is of version {comparison.candidate} with version {comparison.live} "
            f"on {comparison.n} rows, but {live} is live now.",
            fix=f"Promote {candidate} again: the alias moved meanwhile.",
        )
    if comparison.significantly_worse:
        raise PromotionRefused(
            f"{candidate} is significantly worse than the live version {live}: {comparison}.", fix=_MEND
        )
    if with_best is not None and with_best.significantly_worse:
        raise PromotionRefused(
            f"{candidate} is not significantly worse than the live version {live}, but it is than version "
            f"{with_best.live}, the best so far: {with_best}.",
            fix=f"Small losses have added up. {_MEND}",
        )


_MEND = (
    "Look at its card for the mistakes, mend the data and train again, or promote it with --force (which is recorded, "
    "and makes it what later versions are measured by)."
)
