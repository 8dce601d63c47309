"""The database of a workspace: a SQLite file by default, PostgreSQL by URL. The same rows, the same promises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from chiliad.errors import StoreError
from chiliad.store.backend import Backend, Writers
from chiliad.store.schema import bring_up_to_date
from chiliad.store.sqlite import Sqlite

POSTGRES_NAMES = frozenset({"postgresql", "postgres", "postgresql+psycopg"})


class Database:
    """Transactions, each of which happens whole or not at all.

    Safe to share between threads, and to open from several processes: readers see one moment and never wait, writers of
    the same rows wait for each other up to WAIT_MS_MAX. A database that went away is tried again by the next
    transaction. Raises StoreError when it cannot be used.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @classmethod
    def open(cls, url: str) -> Database:
        """Open the database at `url` (`sqlite:///path`, `postgresql://user:password@host/name`), with all its tables."""
        backend = backend_of(url)
        try:
            with backend.explained(), backend.opening():
                bring_up_to_date(backend)
        except BaseException:
            backend.engine.dispose()
            raise
        return cls(backend)

    def close(self) -> None:
        self._backend.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One snapshot for every query in the block."""
        with self._backend.explained(), self._backend.engine.connect() as connection:
            yield connection.execution_options(**self._backend.read_options)

    @contextmanager
    def write(self, writers: Writers) -> Iterator[Connection]:
        """A transaction; no other of the same `writers` runs meanwhile."""
        with self._backend.explained(), self._backend.engine.begin() as connection:
            self._backend.admit(connection, writers)
            yield connection


def backend_of(url: str) -> Backend:
    """The kind of database that a URL names, not opened yet. Raises StoreError."""
    parsed = _parsed(url)
    if parsed.drivername == "sqlite" and parsed.database:
        return Sqlite(Path(parsed.database))
    if parsed.drivername in POSTGRES_NAMES and "@" not in (parsed.host or ""):
        from chiliad.store.postgres import Postgres

        return Postgres(parsed)
    raise StoreError(  # the URL may hold a password: it is not repeated
        "database_url is not the URL of a SQLite file or a PostgreSQL database.",
        fix="Write sqlite:////absolute/path/chiliad.db or postgresql://user:password@host:5432/name, with special "
        "characters of the password percent-encoded.",
    )


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        return URL.create("unreadable")
