"""What answers cost: per expert, per key, per day, and against hosted models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from chiliad.ledger.hosted import HOSTED, HostedCost, hosted_cost
from chiliad.ledger.prices import MachinePrice
from chiliad.store import GroupBy, Keys, Ledger, Period, Sum


@dataclass(frozen=True)
class TestScore:
    """How often an expert's answers are right, as its test rows tell: share of 1, over so many rows, from `source`."""

    __test__ = False  # pytest collects what is called Test…

    share: float
    rows: int
    source: str


ScoreOf = Callable[[str], TestScore | None]
"""the score of `tickets@3`; None for what was never tested"""


@dataclass(frozen=True)
class Cost:
    """A line of the ledger added up. Costs are in the report's currency, seconds and tokens are totals."""

    of: str
    requests: int
    answers: int
    prompt_tokens: int
    cached_tokens: int
    answer_tokens: int
    machine_s: float
    wait_s: float
    cost: float
    cost_per_answer: float | None
    """None without an answer"""


@dataclass(frozen=True)
class ExpertCost(Cost):
    cost_per_correct: float | None
    """None without a test score, or if none of the test rows was answered right"""
    score: TestScore | None


@dataclass(frozen=True)
class KeyCost(Cost):
    name: str | None
    """None for whoever asked without a key of the database"""


@dataclass(frozen=True)
class CostReport:
    """period: seconds since 1970; project: None for all of them"""

    currency: str
    machine_per_hour: float
    """of an hour in which the machine works"""
    machine: str
    """where that figure comes from"""
    period: Period
    project: str | None
    total: Cost
    experts: tuple[ExpertCost, ...]
    keys: tuple[KeyCost, ...]
    days: tuple[Cost, ...]
    hosted: tuple[HostedCost, ...]
    """the same tokens at public prices, in US dollars, without any discount for cached ones"""


def cost_report(
    ledger: Ledger,
    keys: Keys,
    price: MachinePrice,
    score_of: ScoreOf,
    *,
    period: Period | None = None,
    project: str | None = None,
    hosted: Sequence[str] = HOSTED,
) -> CostReport:
    """Costs of one project, or of all. An answer that was recorded keeps the price of its own day."""
    period = period or Period()
    experts = ledger.sums(GroupBy.MODEL, period=period, project=project)
    total = _total(experts)
    names = {key.id: key.name for key in keys.all()}
    tokens = {"prompt_tokens": total.prompt_tokens, "answer_tokens": total.answer_tokens}
    return CostReport(
        currency=price.currency,
        machine_per_hour=price.per_second * 3600,
        machine=price.told,
        period=period,
        project=project,
        total=_cost(total),
        experts=tuple(_expert(one, score_of(one.of)) for one in experts),
        keys=tuple(_key(one, names) for one in ledger.sums(GroupBy.KEY, period=period, project=project)),
        days=tuple(map(_cost, ledger.sums(GroupBy.DAY, period=period, project=project))),
        hosted=tuple(hosted_cost(model, **tokens) for model in hosted),
    )


def _cost(one: Sum) -> Cost:
    return Cost(**vars(one), cost_per_answer=one.cost / one.answers if one.answers else None)


def _key(one: Sum, names: Mapping[str, str]) -> KeyCost:
    return KeyCost(**vars(_cost(one)), name=names.get(one.of))


def _expert(one: Sum, score: TestScore | None) -> ExpertCost:
    correct = one.answers * score.share if score else 0
    return ExpertCost(**vars(_cost(one)), cost_per_correct=one.cost / correct if correct else None, score=score)


def _total(sums: Sequence[Sum]) -> Sum:
    return Sum(
        of="total",
        requests=sum(one.requests for one in sums),
        answers=sum(one.answers for one in sums),
        prompt_tokens=sum(one.prompt_tokens for one in sums),
        cached_tokens=sum(one.cached_tokens for one in sums),
        answer_tokens=sum(one.answer_tokens for one in sums),
        machine_s=sum(one.machine_s for one in sums),
        wait_s=sum(one.wait_s for one in sums),
        cost=sum(one.cost for one in sums),
    )
