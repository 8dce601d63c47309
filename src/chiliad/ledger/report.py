"""What answers cost: per expert, key and day, per right answer, and beside hosted models and a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from chiliad.ledger.accounts import Accounts
from chiliad.ledger.elsewhere import HOSTED, HostedCost, PersonCost, hosted_cost, person_cost
from chiliad.ledger.records import Evidence, Records, RightShare, Training
from chiliad.store import GroupBy, Outcome, Period, Sum

OUTCOMES_MIN = 20
"""outcomes that count for more than test rows; fewer say too little"""
WORDS_PER_TOKEN = 0.75
"""of English text; of others somewhat less"""


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
    wait_per_answer_s: float | None
    """how long clients waited for a whole answer"""


@dataclass(frozen=True)
class ExpertCost(Cost):
    cost_per_correct: float | None
    """None if nothing tells how many answers are right, or none is"""
    wait_per_correct_s: float | None
    score: RightShare | None
    """what says so: outcomes of its answers if there are enough, or else its test rows"""


@dataclass(frozen=True)
class KeyCost(Cost):
    name: str | None
    """None for whoever asked without a key of the database"""


@dataclass(frozen=True)
class TrainingCost:
    """What it took to train an expert the first time and the last time, and all in all."""

    expert: str
    trainings: int
    first: Training
    newest: Training
    machine_s: float
    cost: float


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
    people_served: float | None
    """how many people can read at one word a second what the machine writes, answers being batched as they were"""
    experts: tuple[ExpertCost, ...]
    keys: tuple[KeyCost, ...]
    days: tuple[Cost, ...]
    hosted: tuple[HostedCost, ...]
    """the same tokens at public prices, without any discount for cached ones"""
    person: PersonCost
    trainings: tuple[TrainingCost, ...]
    """of every expert of the workspace, whatever the period and the project"""


def cost_report(
    accounts: Accounts,
    records: Records,
    *,
    period: Period | None = None,
    project: str | None = None,
    hosted: Sequence[str] = HOSTED,
) -> CostReport:
    """Costs of one project, or of all. An answer that was recorded keeps the price of its own day."""
    period = period or Period()
    ledger, price, elsewhere = accounts.ledger, accounts.price, accounts.elsewhere
    experts = ledger.sums(GroupBy.MODEL, period=period, project=project)
    total = Sum.over(experts)
    outcomes = accounts.outcomes.by_model(period=period, project=project)
    names = {key.id: key.name for key in accounts.keys.all()}
    return CostReport(
        currency=price.currency,
        machine_per_hour=price.per_second * 3600,
        machine=price.told,
        period=period,
        project=project,
        total=_cost(total),
        people_served=WORDS_PER_TOKEN * total.answer_tokens / total.machine_s if total.machine_s else None,
        experts=tuple(_expert(one, _right(one.of, outcomes, records)) for one in experts),
        keys=tuple(_key(one, names) for one in ledger.sums(GroupBy.KEY, period=period, project=project)),
        days=tuple(map(_cost, ledger.sums(GroupBy.DAY, period=period, project=project))),
        hosted=tuple(hosted_cost(model, total, elsewhere) for model in hosted),
        person=person_cost(total, elsewhere),
        trainings=tuple(_trainings(records.trainings())),
    )


def _cost(one: Sum) -> Cost:
    each = 1 / one.answers if one.answers else None
    return Cost(
        **vars(one),
        cost_per_answer=each and one.cost * each,
        wait_per_answer_s=each and one.wait_s * each,
    )


def _key(one: Sum, names: Mapping[str, str]) -> KeyCost:
    return KeyCost(**vars(_cost(one)), name=names.get(one.of))


def _expert(one: Sum, score: RightShare | None) -> ExpertCost:
    correct = one.answers * score.share if score else 0
    return ExpertCost(
        **vars(_cost(one)),
        cost_per_correct=one.cost / correct if correct else None,
        wait_per_correct_s=one.wait_s / correct if correct else None,
        score=score,
    )


def _right(model: str, outcomes: Mapping[str, Outcome], records: Records) -> RightShare | None:
    found = outcomes.get(model)
    if found is None or found.told < OUTCOMES_MIN:
        return records.score(model)
    source = f"{found.told} answers in use whose outcome was told"
    return RightShare(found.right / found.told, found.told, Evidence.OUTCOMES, source)


def _trainings(trained: Sequence[Training]) -> list[TrainingCost]:
    by_expert = groupby(trained, key=lambda one: one.expert)
    found = [(expert, list(trainings)) for expert, trainings in by_expert]
    return [
        TrainingCost(
            expert=expert,
            trainings=len(trainings),
            first=trainings[0],
            newest=trainings[-1],
            machine_s=sum(one.machine_s for one in trainings),
            cost=sum(one.cost for one in trainings),
        )
        for expert, trainings in found
    ]
