"""How what was done with answers turned out, as programs tell it later: which of them were right in use."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from chiliad.store.database import Database
from chiliad.store.ledger import Period
from chiliad.store.tables import answers, feedback


@dataclass(frozen=True)
class Outcome:
    """Of one model's answers: how many turned out right, of how many whose outcome was told."""

    right: int
    told: int


class Outcomes:
    """Safe to share between threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def by_model(self, *, period: Period | None = None, project: str | None = None) -> dict[str, Outcome]:
        """`tickets@3` -> the outcomes of those of its answers that are still kept; of each answer the last one counts."""
        period = period or Period()
        told = feedback.c.outcome.is_not(None)
        newest = select(feedback.c.answer_id, func.max(feedback.c.at_s).label("at_s")).where(told)
        last = newest.group_by(feedback.c.answer_id).subquery()
        right = func.count(feedback.c.id).filter(feedback.c.outcome)
        query = (
            select(answers.c.model, right.label("right"), func.count(feedback.c.id).label("told"))
            .join(feedback, feedback.c.answer_id == answers.c.id)
            .join(last, (last.c.answer_id == feedback.c.answer_id) & (last.c.at_s == feedback.c.at_s))
            .where(told, *period.bounds(answers.c.created_s))
            .group_by(answers.c.model)
        )
        if project is not None:
            query = query.where(answers.c.project == project)
        with self._database.read() as connection:
            return {row.model: Outcome(row.right, row.told) for row in connection.execute(query)}
