"""An opinion, as a lesson: of two answers one is better, or one answer is good or bad.

Both losses ask how much likelier an answer has become than it was where training started. That start is the reference: its
log-probabilities are looked at once, before the first step, and no second model is ever held. A loss of some rows'
log-probabilities has the gradient of a weighted sum of them, the weights being its slopes; so an opinion is learned by the
same passes as an example, with weights that are below zero for what is to become less likely.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from chiliad.training.rows import Row, Seen, Verdict


@dataclass(frozen=True)
class Pair:
    """Implements `Lesson`: the chosen answer is better than the rejected one. Direct preference optimisation (Rafailov and
    others, 2023, equation 7): loss = -log sigmoid(margin), where margin = beta * (gain of chosen - gain of rejected).

    beta: the larger, the less it takes to be content, so the nearer the expert stays to where it started; start: the nll of
    both rows there, None before it was looked at.
    """

    chosen: Row
    rejected: Row
    beta: float
    start: tuple[float, ...] | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        return (self.chosen, self.rejected)

    @property
    def units(self) -> int:
        return 1

    @property
    def identity(self) -> list[Any]:
        return ["pair", self.beta, self.chosen.identity, self.rejected.identity]

    def judge(self, seen: Sequence[Seen]) -> Verdict:
        chosen, rejected = _gains(self.start, seen)
        margin = self.beta * (chosen - rejected)
        slope = self.beta * _sigmoid(-margin)
        return Verdict(_softplus(-margin), (slope, -slope), margin > 0)


@dataclass(frozen=True)
class Thumb:
    """Implements `Lesson`: an answer is good, or it is not. Kahneman-Tversky optimisation (Ethayarajh and others, 2024) with
    its point of reference kept at zero, where training starts, which is the unpaired form of anchored preference
    optimisation (D'Oosterlinck and others, 2024). loss = weight * (1 - sigmoid(beta * gain)) for a good answer, and
    weight * sigmoid(beta * gain) for a bad one.

    beta, start: as of a `Pair`; weight: so that good and bad answers count alike, however many there are of each.
    """

    row: Row
    good: bool
    beta: float
    weight: float = 1.0
    start: tuple[float, ...] | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        return (self.row,)

    @property
    def units(self) -> int:
        return 1

    @property
    def identity(self) -> list[Any]:
        return ["thumb", self.good, self.beta, self.weight, self.row.identity]

    def judge(self, seen: Sequence[Seen]) -> Verdict:
        (gain,) = _gains(self.start, seen)
        wanted = gain if self.good else -gain
        disbelief = _sigmoid(-self.beta * wanted)
        slope = self.weight * self.beta * disbelief * (1 - disbelief)
        return Verdict(self.weight * disbelief, (slope if self.good else -slope,), wanted > 0)


Opinion = Pair | Thumb


@dataclass(frozen=True)
class Agreement:
    """How training has moved an expert on opinions that it never saw.

    agreed: the share where it moved the way that they point; likelier, likelier_before: the share of pairs whose chosen
    answer is the likelier one, now and where training started, None without pairs.
    """

    opinions: int
    loss: float
    agreed: float
    likelier: float | None
    likelier_before: float | None


def started(opinion: Opinion, numbers: Iterator[float]) -> Opinion:
    """With the next of `numbers` as the nll of its rows where training starts."""
    return replace(opinion, start=tuple(islice(numbers, len(opinion.rows))))


def agreement(opinions: Sequence[Opinion], seen: Sequence[Sequence[Seen]]) -> Agreement:
    """opinions: at least one; seen: of each one's rows."""
    verdicts = [one.judge(rows) for one, rows in zip(opinions, seen, strict=True)]
    pairs = [(one, rows) for one, rows in zip(opinions, seen, strict=True) if isinstance(one, Pair)]
    now = [rows[0].nll < rows[1].nll for _, rows in pairs]
    before = [pair.start[0] < pair.start[1] for pair, _ in pairs if pair.start]
    return Agreement(
        opinions=len(opinions),
        loss=sum(verdict.loss for verdict in verdicts) / len(verdicts),
        agreed=sum(verdict.right for verdict in verdicts) / len(verdicts),
        likelier=sum(now) / len(now) if now else None,
        likelier_before=sum(before) / len(before) if before else None,
    )


def _gains(start: tuple[float, ...] | None, seen: Sequence[Seen]) -> list[float]:
    """By how much the log-probability of each row has grown."""
    assert start is not None, "an opinion is judged by where training started"
    return [before - now.nll for before, now in zip(start, seen, strict=True)]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
