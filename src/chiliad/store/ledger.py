"""What every answer took and cost, and sums of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, func, select, update

from chiliad.store.backend import Writers
from chiliad.store.budgets import Reservation, settle
from chiliad.store.database import Database
from chiliad.store.tables import keys, ledger


@dataclass(frozen=True)
class Entry:
    """One request that was answered, or at least begun.

    id: the id that the client got; at_s: seconds since 1970; model: `tickets@3`, or a base's id; answers: how many it got
    to their end; answer_tokens: those of answers cut short too; machine_s: its share of the machine's time;
    wait_s: how long the client waited for the last token
    """

    id: str
    at_s: float
    key_id: str
    project: str
    model: str
    answers: int
    prompt_tokens: int
    cached_tokens: int
    answer_tokens: int
    machine_s: float
    wait_s: float
    cost: float

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.answer_tokens


@dataclass(frozen=True)
class Settled:
    """An entry, with the reservation that it takes the place of, if its key is limited."""

    entry: Entry
    reservation: Reservation | None = None


class GroupBy(StrEnum):
    MODEL = "model"
    KEY = "key_id"
    DAY = "day"


@dataclass(frozen=True)
class Sum:
    """The ledger added up over the entries of one model, key or day."""

    of: str
    requests: int
    answers: int
    prompt_tokens: int
    cached_tokens: int
    answer_tokens: int
    machine_s: float
    wait_s: float
    cost: float

    @classmethod
    def over(cls, sums: Sequence[Sum]) -> Sum:
        """All of them in one line."""
        names = (field.name for field in fields(cls) if field.name != "of")
        return cls(of="total", **{name: sum(getattr(one, name) for one in sums) for name in names})


@dataclass(frozen=True)
class Period:
    """Seconds since 1970, the end not included; None is without bound."""

    since_s: float | None = None
    until_s: float | None = None

    def bounds(self, at_s: ColumnElement[float]) -> list[ColumnElement[bool]]:
        """What a column of times keeps to."""
        since = [] if self.since_s is None else [at_s >= self.since_s]
        return since if self.until_s is None else [*since, at_s < self.until_s]


class Ledger:
    """Safe to share between threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, settled: Sequence[Settled], used: Mapping[str, float]) -> None:
        """Write entries, settle their reservations and note when keys were last `used`, all or nothing.

        Doing it twice changes nothing, so whoever does not know whether it was done does it again.
        """
        with self._database.write(Writers.SPENDING) as connection:
            ids = [one.entry.id for one in settled]
            known = set(connection.scalars(select(ledger.c.id).where(ledger.c.id.in_(ids))))
            new = [one for one in settled if one.entry.id not in known]
            if new:
                rows = [{**asdict(one.entry), "day": _day(one.entry.at_s)} for one in new]
                connection.execute(ledger.insert(), rows)
            for one in new:
                if one.reservation is not None:
                    settle(connection, one.reservation, tokens=one.entry.tokens, spend=one.entry.cost)
            for key_id, at_s in used.items():
                connection.execute(update(keys).where(keys.c.id == key_id).values(last_used_s=at_s))

    def sums(self, by: GroupBy, *, period: Period | None = None, project: str | None = None) -> list[Sum]:
        """Sums by model, key or day (UTC), in the order of these; with `project` of its entries alone."""
        column = ledger.c[by]
        added = [func.sum(ledger.c[name]).label(name) for name in _ADDED]
        query = select(column.label("of"), func.count().label("requests"), *added)
        query = query.where(*(period or Period()).bounds(ledger.c.at_s)).group_by(column).order_by(column)
        if project is not None:
            query = query.where(ledger.c.project == project)
        with self._database.read() as connection:
            return [Sum(**row) for row in connection.execute(query).mappings()]


_ADDED = ("answers", "prompt_tokens", "cached_tokens", "answer_tokens", "machine_s", "wait_s", "cost")


def _day(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"
