"""What people decided about kept answers, and which of that waits to be learned."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, func, select, update

from chiliad.store.answers import LEARNED, Decision, KeptAnswer, KeptAnswers, kept
from chiliad.store.backend import Writers
from chiliad.store.database import Database
from chiliad.store.jobs import Job, JobState
from chiliad.store.tables import answers, jobs, retraining_rules

_LEARNING = (
    select(jobs.c.id)
    .where(jobs.c.id == answers.c.job_id, jobs.c.state != JobState.FAILED, jobs.c.state != JobState.CANCELLED)
    .exists()
)
"""a training has it, or had it and ended with a version"""


@dataclass(frozen=True)
class Gathered:
    """Of one expert: how many answers were accepted and corrected, and how many corrections no training had yet."""

    expert: str
    accepted: int
    corrected: int
    waiting: int


class Corrections:
    """Safe to share between threads and processes. `clock` gives seconds since 1970.

    A `project` sees what was decided about its own answers; None sees that of all.
    """

    def __init__(self, database: Database, kept: KeptAnswers, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._kept = kept
        self._clock = clock

    def decide(
        self, answer_id: str, decision: Decision, wanted: str | None, *, by: str, project: str | None
    ) -> KeptAnswer:
        """Put this in the place of what was decided before; `wanted` is what is to be learned. Raises AnswerNotFound."""
        with self._database.write(Writers.FEEDBACK) as connection:
            before = self._kept.find(connection, answer_id, project)
            values: dict[str, Any] = {
                "decision": decision,
                "wanted": wanted,
                "decided_s": self._clock(),
                "decided_by": by,
                "job_id": None,
            }
            connection.execute(update(answers).where(answers.c.id == answer_id).values(**values))
        return replace(before, **values)

    def learned(self, expert: str, *, project: str | None) -> list[KeptAnswer]:
        """Everything that an expert is to learn, in the order of the decisions."""
        query = select(answers).where(*self._of(expert, project)).order_by(answers.c.decided_s, answers.c.id)
        with self._database.read() as connection:
            return [kept(row) for row in connection.execute(query)]

    def gathered(self, *, project: str | None) -> list[Gathered]:
        """Of every expert of which anything was decided, by name."""
        correct = answers.c.decision == Decision.CORRECT
        counts = (
            func.count().filter(answers.c.decision == Decision.ACCEPT).label("accepted"),
            func.count().filter(correct).label("corrected"),
            func.count().filter(correct & ~_LEARNING).label("waiting"),
        )
        query = select(answers.c.expert, *counts).where(self._kept.seen_by(project), answers.c.expert.is_not(None))
        query = query.where(answers.c.decision.in_(LEARNED)).group_by(answers.c.expert).order_by(answers.c.expert)
        with self._database.read() as connection:
            return [Gathered(**row) for row in connection.execute(query).mappings()]

    def waiting(self, expert: str, *, project: str | None) -> int:
        """How many corrections no training was given yet."""
        with self._database.read() as connection:
            return self._waiting(connection, expert, project)

    def learn(
        self,
        expert: str,
        given: Sequence[KeptAnswer],
        submit: Callable[[Connection], Job],
        *,
        project: str | None,
        at_least: int = 0,
    ) -> Job | None:
        """Queue a training that is given these answers, as they were decided about when they were read.

        None, and nothing is queued, if fewer corrections wait by now. `submit` queues within the transaction that notes it.
        What a training was given waits again when that fails or is cancelled.
        """
        decided = (answers.c.id == bindparam("answer"), answers.c.decided_s == bindparam("at_s"))
        with self._database.write(Writers.FEEDBACK) as connection:
            if self._waiting(connection, expert, project) < at_least:
                return None
            job = submit(connection)
            if given:
                note = update(answers).where(*decided, ~_LEARNING).values(job_id=job.id)
                connection.execute(note, [{"answer": one.id, "at_s": one.decided_s} for one in given])
        return job

    def set_rule(self, expert: str, project: str, after: int | None) -> None:
        """Retrain the expert after so many corrections of a project; None ends that."""
        of = (retraining_rules.c.expert == expert, retraining_rules.c.project == project)
        with self._database.write(Writers.FEEDBACK) as connection:
            connection.execute(retraining_rules.delete().where(*of))
            if after is not None:
                connection.execute(retraining_rules.insert().values(expert=expert, project=project, after=after))

    def rules(self, project: str) -> dict[str, int]:
        """expert -> after how many corrections of the project it is retrained."""
        query = select(retraining_rules).where(retraining_rules.c.project == project)
        with self._database.read() as connection:
            return {row.expert: row.after for row in connection.execute(query)}

    def _of(self, expert: str, project: str | None) -> tuple[ColumnElement[bool], ...]:
        return (self._kept.seen_by(project), answers.c.expert == expert, answers.c.decision.in_(LEARNED))

    def _waiting(self, connection: Connection, expert: str, project: str | None) -> int:
        new = (answers.c.decision == Decision.CORRECT, ~_LEARNING)
        return connection.scalar(select(func.count()).where(*self._of(expert, project), *new)) or 0
