"""What people and programs said about kept answers."""

from __future__ import annotations

import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Row, or_, select, update

from chiliad.errors import FeedbackError
from chiliad.store.answers import Decision, KeptAnswer, KeptAnswers, kept
from chiliad.store.backend import Writers
from chiliad.store.database import Database
from chiliad.store.tables import answers, feedback

FEEDBACK_MAX = 100
"""on one answer"""


@dataclass(frozen=True)
class Said:
    """What somebody may say about an answer, any part of it.

    boolean: whether it is good; score: how good, from 0 to 1; demonstration: the right answer; outcome: whether what was
    done with it turned out right
    """

    boolean: bool | None = None
    score: float | None = None
    comment: str | None = None
    demonstration: str | None = None
    outcome: bool | None = None

    @property
    def is_empty(self) -> bool:
        return self == Said()

    def against(self, text: str) -> float | None:
        """How much this speaks against an answer: what is worst for it counts. None if it does not judge."""
        marks = [1.0 - float(mark) for mark in (self.boolean, self.score, self.outcome) if mark is not None]
        if self.demonstration is not None:
            marks.append(float(self.demonstration.strip() != text.strip()))
        return max(marks, default=None)


@dataclass(frozen=True)
class Feedback:
    """at_s: seconds since 1970; key_id: who said it"""

    id: str
    answer_id: str
    at_s: float
    key_id: str
    said: Said


@dataclass(frozen=True)
class Rated:
    """An answer that people call good, or do not."""

    answer: KeptAnswer
    good: bool


class FeedbackLog:
    """Safe to share between threads and processes. `clock` gives seconds since 1970."""

    def __init__(self, database: Database, kept: KeptAnswers, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._kept = kept
        self._clock = clock

    def give(self, answer_id: str, said: Said, *, by: str, project: str | None) -> Feedback:
        """Record it, and how much all feedback now disagrees with the answer.

        Raises AnswerNotFound, and FeedbackError when enough was said about it.
        """
        given = Feedback(f"feedback-{secrets.token_hex(8)}", answer_id, self._clock(), by, said)
        with self._database.write(Writers.FEEDBACK) as connection:
            answer = self._kept.find(connection, answer_id, project)
            rows = connection.execute(select(feedback).where(feedback.c.answer_id == answer_id))
            before = [_feedback(row) for row in rows]
            if len(before) >= FEEDBACK_MAX:
                raise FeedbackError(
                    f"{FEEDBACK_MAX} things were said about this answer.", fix="Review it, or delete it."
                )
            connection.execute(feedback.insert().values(**_row(given)))
            disagreement = _disagreement([*before, given], answer.text)
            connection.execute(update(answers).where(answers.c.id == answer_id).values(disagreement=disagreement))
        return given

    def about(self, answer_ids: Sequence[str]) -> Mapping[str, list[Feedback]]:
        """answer id -> what was said about it, oldest first."""
        query = select(feedback).where(feedback.c.answer_id.in_(answer_ids)).order_by(feedback.c.at_s, feedback.c.id)
        found: defaultdict[str, list[Feedback]] = defaultdict(list)
        with self._database.read() as connection:
            for row in connection.execute(query):
                found[row.answer_id].append(_feedback(row))
        return found

    def rated(self, expert: str, *, project: str | None) -> list[Rated]:
        """Answers of an expert that more people called good than bad, or bad than good, oldest first.

        What somebody dismissed is not among them.
        """
        chosen = (self._kept.seen_by(project), answers.c.expert == expert, feedback.c.boolean.is_not(None))
        kept_in = or_(answers.c.decision.is_(None), answers.c.decision != Decision.DISMISS)
        words = select(answers.c.id, feedback.c.boolean).join(feedback, feedback.c.answer_id == answers.c.id)
        words = words.where(*chosen, kept_in)
        about = select(answers).where(answers.c.id.in_(words.with_only_columns(answers.c.id)))
        votes: Counter[str] = Counter()
        with self._database.read() as connection:
            for row in connection.execute(words):
                votes[row.id] += 1 if row.boolean else -1
            rows = connection.execute(about.order_by(answers.c.created_s, answers.c.id))
            return [Rated(kept(row), votes[row.id] > 0) for row in rows if votes[row.id]]


def _disagreement(given: Sequence[Feedback], text: str) -> float:
    """The mean over all that judge; 0 without any."""
    against = [mark for one in given if (mark := one.said.against(text)) is not None]
    return sum(against) / len(against) if against else 0.0


def _row(given: Feedback) -> dict[str, Any]:
    return {**{name: value for name, value in vars(given).items() if name != "said"}, **asdict(given.said)}


def _feedback(row: Row[Any]) -> Feedback:
    said = Said(row.boolean, row.score, row.comment, row.demonstration, row.outcome)
    return Feedback(row.id, row.answer_id, row.at_s, row.key_id, said)
