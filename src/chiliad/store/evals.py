"""Evals, and what each item of their runs gave. The runs themselves are jobs."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, func, select

from chiliad.errors import EvalNotFound
from chiliad.store.backend import Writers
from chiliad.store.database import Database
from chiliad.store.paging import PAGE_MAX, page
from chiliad.store.scope import Scoped
from chiliad.store.tables import eval_items, evals


class ItemStatus(StrEnum):
    PASSED = "pass"
    FAILED = "fail"
    ERRORED = "error"


@dataclass(frozen=True)
class Eval:
    """What is measured and how, as the client wrote it down. created_s, updated_s: seconds since 1970."""

    id: str
    project: str
    created_s: float
    updated_s: float
    document: Mapping[str, Any]


@dataclass(frozen=True)
class EvalItem:
    """One row of a run, by its number: the answer and what each criterion made of it."""

    number: int
    at_s: float
    status: ItemStatus
    document: Mapping[str, Any]


class Evals(Scoped):
    """Safe to share between threads and processes. `clock` gives seconds since 1970."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def create(self, document: Mapping[str, Any]) -> Eval:
        now = self._clock()
        made = Eval(f"eval_{secrets.token_hex(12)}", self._scope.project, now, now, dict(document))
        with self._database.write(Writers.EVALS) as connection:
            connection.execute(evals.insert().values(**vars(made)))
        return made

    def get(self, eval_id: str) -> Eval:
        """Raises EvalNotFound."""
        with self._database.read() as connection:
            return _eval(self._find(connection, eval_id))

    def page(self, *, after: str | None = None, limit: int = PAGE_MAX, newest_first: bool = True) -> list[Eval]:
        """Evals in the order of their making, those beyond `after`. Raises EvalNotFound for an unknown `after`."""
        with self._database.read() as connection:
            last = None if after is None else self._find(connection, after)
            query = select(evals).where(self._scope.covers(evals))
            query = page(query, evals, after=last, limit=limit, newest_first=newest_first)
            return [_eval(row) for row in connection.execute(query)]

    def update(self, eval_id: str, changes: Mapping[str, Any]) -> Eval:
        """Replace fields of its document. Raises EvalNotFound."""
        with self._database.write(Writers.EVALS) as connection:
            document = {**self._find(connection, eval_id).document, **changes}
            row = evals.update().where(evals.c.id == eval_id)
            connection.execute(row.values(document=document, updated_s=self._clock()))
            return _eval(self._find(connection, eval_id))

    def delete(self, eval_id: str) -> None:
        """Its runs and their items stay until they are deleted. Raises EvalNotFound."""
        with self._database.write(Writers.EVALS) as connection:
            self._find(connection, eval_id)
            connection.execute(evals.delete().where(evals.c.id == eval_id))

    def put_items(self, run_id: str, items: Sequence[tuple[int, ItemStatus, Mapping[str, Any]]]) -> None:
        """Record (number, status, document) of items; one that is there already stays as it is."""
        now = self._clock()
        with self._database.write(Writers.EVALS) as connection:
            numbers = eval_items.c.number.in_([number for number, *_ in items])
            known = set(connection.scalars(select(eval_items.c.number).where(eval_items.c.run_id == run_id, numbers)))
            rows = [
                {"run_id": run_id, "number": number, "at_s": now, "status": status, "document": dict(document)}
                for number, status, document in items
                if number not in known
            ]
            if rows:
                connection.execute(eval_items.insert(), rows)

    def items(
        self,
        run_id: str,
        *,
        after: int | None = None,
        limit: int | None = PAGE_MAX,
        newest_first: bool = False,
        statuses: Sequence[ItemStatus] = tuple(ItemStatus),
    ) -> list[EvalItem]:
        """Items of a run by number, those beyond number `after`; all of them with `limit` None."""
        number = eval_items.c.number
        query = select(eval_items).where(eval_items.c.run_id == run_id, eval_items.c.status.in_(statuses))
        if after is not None:
            query = query.where(number < after if newest_first else number > after)
        query = query.order_by(number.desc() if newest_first else number).limit(limit)
        with self._database.read() as connection:
            return [_item(row) for row in connection.execute(query)]

    def item(self, run_id: str, number: int) -> EvalItem:
        """Raises EvalNotFound."""
        query = select(eval_items).where(eval_items.c.run_id == run_id, eval_items.c.number == number)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise EvalNotFound(f"The run has no item {number}.", fix="List the run's items to see which there are.")
        return _item(row)

    def counts(self, run_id: str) -> Counter[str]:
        """How many items of a run have each status."""
        query = select(eval_items.c.status, func.count().label("counted")).where(eval_items.c.run_id == run_id)
        with self._database.read() as connection:
            rows = connection.execute(query.group_by(eval_items.c.status))
            return Counter({row.status: row.counted for row in rows})

    def delete_items(self, run_id: str) -> None:
        with self._database.write(Writers.EVALS) as connection:
            connection.execute(eval_items.delete().where(eval_items.c.run_id == run_id))

    def _find(self, connection: Connection, eval_id: str) -> Row[Any]:
        query = select(evals).where(evals.c.id == eval_id, self._scope.covers(evals))
        row = connection.execute(query).one_or_none()
        if row is None:
            raise EvalNotFound(f"There is no eval {eval_id!r}.", fix="GET /v1/evals lists the evals that there are.")
        return row


def _eval(row: Row[Any]) -> Eval:
    return Eval(**row._mapping)


def _item(row: Row[Any]) -> EvalItem:
    return EvalItem(row.number, row.at_s, ItemStatus(row.status), row.document)
