"""Who did what to which key, expert or version. Rows are only ever added: the database itself refuses to change them."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from chiliad.store.backend import Writers
from chiliad.store.database import Database
from chiliad.store.tables import audit

PAGE_MAX = 100

_actor: ContextVar[str | None] = ContextVar("actor", default=None)


@dataclass(frozen=True)
class AuditEntry:
    """The n-th thing that somebody did.

    at_s: seconds since 1970; actor: a key's id, or how else somebody came in (`os:alice` at the command line);
    action: a noun and a verb (`key.revoke`); subject: what it was done to (`key-…`, `tickets@3`)
    """

    number: int
    at_s: float
    actor: str
    action: str
    subject: str
    details: Mapping[str, Any]


class AuditLog:
    """Safe to share between threads and processes. `clock` gives seconds since 1970."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def add(self, action: str, subject: str, details: Mapping[str, Any] | None = None) -> None:
        """Record what the actor of this context did."""
        with self._database.write(Writers.ACCESS) as connection:
            note(connection, self._clock(), action, subject, details)

    def page(self, *, before: int | None = None, limit: int = PAGE_MAX) -> list[AuditEntry]:
        """Entries from the newest to the oldest, those with a number below `before`."""
        query = select(audit).order_by(audit.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.number < before)
        with self._database.read() as connection:
            return [AuditEntry(**row) for row in connection.execute(query).mappings()]


@contextmanager
def acting_as(actor: str) -> Iterator[None]:
    """What is done in the block, and in the threads and tasks that it waits for, `actor` does."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def note(
    connection: Connection, at_s: float, action: str, subject: str, details: Mapping[str, Any] | None = None
) -> None:
    """Add an entry in a transaction of Writers.ACCESS, together with what it tells about."""
    last = connection.scalar(select(func.max(audit.c.number))) or 0
    row = {"number": last + 1, "at_s": at_s, "actor": _actor.get() or _user(), "action": action, "subject": subject}
    connection.execute(audit.insert().values(**row, details=dict(details or {})))


def _user() -> str:
    """Whose process this is."""
    try:
        return f"os:{getpass.getuser()}"
    except (OSError, KeyError):  # an account without a name
        return "os:unknown"
