"""Answers that are kept together with what was asked: what people give feedback on, review and correct.

An answer that nobody has decided to learn from is gone when its time is over, whoever looks; its row is removed soon after.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, or_, select

from chiliad.errors import AnswerNotFound
from chiliad.store.audit import note
from chiliad.store.backend import Writers
from chiliad.store.database import Database
from chiliad.store.tables import answers, feedback

DAY_S = 24 * 3600.0
SWEEP_EVERY_S = 3600.0


class Decision(StrEnum):
    ACCEPT = "accept"
    """right as it is: to be learned too"""
    CORRECT = "correct"
    """another answer is wanted"""
    DISMISS = "dismiss"
    """nothing to learn from"""


LEARNED = (Decision.ACCEPT, Decision.CORRECT)


@dataclass(frozen=True)
class AnswerToKeep:
    """What was asked and answered.

    id: the one that the client got; model: who answered (`tickets@3`, or a base's id); expert: its plain name, None for a
    base; turns: the conversation before the answer, each with role and content; certainty: between 0 and 1
    """

    id: str
    key_id: str
    project: str
    model: str
    expert: str | None
    turns: Sequence[Mapping[str, str]]
    text: str
    certainty: float
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class KeptAnswer(AnswerToKeep):
    """created_s, decided_s: seconds since 1970; disagreement: how much of the feedback speaks against it, from 0 to 1;
    wanted: what would have been right, once somebody decided that; job_id: the training that it was given to
    """

    created_s: float
    disagreement: float
    decision: Decision | None
    wanted: str | None
    decided_s: float | None
    decided_by: str | None
    job_id: str | None


class ReviewOrder(StrEnum):
    USEFULNESS = "usefulness"
    """the least certain and most disagreed, both counting alike; among equals the newest"""
    CERTAINTY = "certainty"
    """the least certain"""
    DISAGREEMENT = "disagreement"
    """the most disagreed"""
    NEWEST = "newest"


class KeptAnswers:
    """Safe to share between threads and processes. `clock` gives seconds since 1970.

    A `project` sees its own answers; None sees those of all.
    """

    def __init__(self, database: Database, retention_days: int, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._retention_s = retention_days * DAY_S
        self._clock = clock
        self._swept_s = float("-inf")

    def keep(self, new: Sequence[AnswerToKeep]) -> None:
        now = self._clock()
        with self._database.write(Writers.FEEDBACK) as connection:
            if now - self._swept_s >= SWEEP_EVERY_S:
                _remove(connection, ~self.in_time)
                self._swept_s = now
            rows = [{**asdict(answer), "text": _storable(answer.text)} for answer in new]
            connection.execute(answers.insert(), [{**row, "created_s": now, "disagreement": 0.0} for row in rows])

    def get(self, answer_id: str, *, project: str | None) -> KeptAnswer:
        """Raises AnswerNotFound."""
        with self._database.read() as connection:
            return self.find(connection, answer_id, project)

    def to_review(
        self, order: ReviewOrder, *, project: str | None, expert: str | None = None, limit: int
    ) -> list[KeptAnswer]:
        """Answers that nobody has decided about, those of one `expert` or of all."""
        query = select(answers).where(self.seen_by(project), answers.c.decision.is_(None))
        if expert is not None:
            query = query.where(answers.c.expert == expert)
        query = query.order_by(*_ORDERS[order], answers.c.created_s.desc(), answers.c.id).limit(limit)
        with self._database.read() as connection:
            return [kept(row) for row in connection.execute(query)]

    def badly_served(self, *, project: str | None, limit: int) -> list[KeptAnswer]:
        """The newest that most feedback speaks against, and those of a base, no expert being there, that nobody praised."""
        praise = or_(feedback.c.boolean, feedback.c.outcome, feedback.c.score > _HALF)
        praised = select(feedback.c.id).where(feedback.c.answer_id == answers.c.id, praise).exists()
        bad = or_(answers.c.disagreement > _HALF, answers.c.expert.is_(None) & ~praised)
        open_ = or_(answers.c.decision.is_(None), answers.c.decision == Decision.CORRECT)
        query = select(answers).where(self.seen_by(project), bad, open_)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(answers.c.created_s.desc(), answers.c.id).limit(limit))
            return [kept(row) for row in rows]

    def some(self, answer_ids: Sequence[str], *, project: str | None) -> dict[str, KeptAnswer]:
        """Those of the ids that are there, by id."""
        query = select(answers).where(self.seen_by(project), answers.c.id.in_(answer_ids))
        with self._database.read() as connection:
            return {row.id: kept(row) for row in connection.execute(query)}

    def delete(self, answer_id: str, *, project: str | None) -> None:
        """With what was said about it. Raises AnswerNotFound."""
        with self._database.write(Writers.FEEDBACK) as connection:
            self.find(connection, answer_id, project)
            _remove(connection, answers.c.id == answer_id)

    def purge(self, *, before_s: float, project: str | None, expert: str | None = None) -> int:
        """Remove all answers from before a time, with what was said and decided about them; how many there were.

        Datasets that were made with them stay as they are.
        """
        chosen = [answers.c.created_s < before_s]
        chosen += [] if project is None else [answers.c.project == project]
        chosen += [] if expert is None else [answers.c.expert == expert]
        with self._database.write(Writers.FEEDBACK) as connection:
            removed = _remove(connection, *chosen)
        with self._database.write(Writers.ACCESS) as connection:
            details = {"before_s": before_s, "project": project, "answers": removed}
            note(connection, self._clock(), "answers.purge", expert or "all", details)
        return removed

    def sweep(self) -> int:
        """Remove the rows of answers whose time is over; how many there were."""
        with self._database.write(Writers.FEEDBACK) as connection:
            return _remove(connection, ~self.in_time)

    @property
    def in_time(self) -> ColumnElement[bool]:
        """Whether an answer is still to be had."""
        young = answers.c.created_s > self._clock() - self._retention_s
        return or_(young, answers.c.decision.is_not(None) & answers.c.decision.in_(LEARNED))

    def seen_by(self, project: str | None) -> ColumnElement[bool]:
        return self.in_time if project is None else self.in_time & (answers.c.project == project)

    def find(self, connection: Connection, answer_id: str, project: str | None) -> KeptAnswer:
        """Raises AnswerNotFound, also for an answer of another project."""
        row = connection.execute(select(answers).where(answers.c.id == answer_id, self.seen_by(project))).one_or_none()
        if row is None:
            raise AnswerNotFound(
                f"There is no kept answer {answer_id[:100]!r}.",
                fix='Ask with "store": true, or set answers.keep, and use the id of the response.',
            )
        return kept(row)


_HALF = 0.5
_ORDERS: Mapping[ReviewOrder, tuple[ColumnElement[Any], ...]] = {
    ReviewOrder.USEFULNESS: ((answers.c.disagreement - answers.c.certainty).desc(),),
    ReviewOrder.CERTAINTY: (answers.c.certainty,),
    ReviewOrder.DISAGREEMENT: (answers.c.disagreement.desc(),),
    ReviewOrder.NEWEST: (),
}


def kept(row: Row[Any]) -> KeptAnswer:
    decision = Decision(row.decision) if row.decision else None
    return KeptAnswer(**{**row._mapping, "decision": decision})


def _remove(connection: Connection, *chosen: ColumnElement[bool]) -> int:
    ids = select(answers.c.id).where(*chosen)
    connection.execute(feedback.delete().where(feedback.c.answer_id.in_(ids)))
    return connection.execute(answers.delete().where(*chosen)).rowcount


def _storable(text: str) -> str:
    """PostgreSQL keeps no NUL."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
