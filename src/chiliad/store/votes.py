"""Which of two answers people preferred when they did not know who had given them. The answers are not kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import and_, func, or_, select

from chiliad.store.backend import Writers
from chiliad.store.database import Database
from chiliad.store.tables import votes


class Winner(StrEnum):
    LEFT = "left"
    RIGHT = "right"
    TIE = "tie"
    """both are good, or neither is"""


@dataclass(frozen=True)
class Tally:
    """How often one of two was preferred, the other, and neither."""

    one: int
    other: int
    ties: int


class Votes:
    """Safe to share between threads and processes. `clock` gives seconds since 1970."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def add(self, left: str, right: str, winner: Winner, *, voter: str, project: str) -> None:
        """`left` and `right` are what was shown there: `tickets@3`, or a base's id. `voter`: by its id in the ledger."""
        row = {"at_s": self._clock(), "voter": voter, "project": project, "left": left, "right": right}
        with self._database.write(Writers.VOTES) as connection:
            number = (connection.scalar(select(func.max(votes.c.number))) or 0) + 1
            connection.execute(votes.insert().values(**row, number=number, winner=winner))

    def tally(self, one: str, other: str, *, project: str | None = None) -> Tally:
        """Of the votes on these two, whichever side they were shown on; with `project` of its votes alone."""
        pair = or_(and_(votes.c.left == one, votes.c.right == other), and_(votes.c.left == other, votes.c.right == one))
        query = select(votes.c.left, votes.c.winner, func.count()).where(pair).group_by(votes.c.left, votes.c.winner)
        if project is not None:
            query = query.where(votes.c.project == project)
        with self._database.read() as connection:
            counts = {(left, Winner(winner)): count for left, winner, count in connection.execute(query)}
        return Tally(
            one=counts.get((one, Winner.LEFT), 0) + counts.get((other, Winner.RIGHT), 0),
            other=counts.get((other, Winner.LEFT), 0) + counts.get((one, Winner.RIGHT), 0),
            ties=counts.get((one, Winner.TIE), 0) + counts.get((other, Winner.TIE), 0),
        )
