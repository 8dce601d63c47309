"""PostgreSQL through psycopg 3, for a workspace whose database several machines use or somebody already looks after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from chiliad.errors import StoreError
from chiliad.store.backend import WAIT_MS_MAX, Backend, Writers, as_json

CONNECT_S_MAX = 10
SILENCE_MS_MAX = 30_000
"""how long a server that answers nothing, not even to TCP, is waited for"""
IDLE_TRANSACTION_MS_MAX = 300_000
"""a client that hangs in the middle of a transaction gives its locks back after this long"""
LOCKS = 0x43484C
"""the first half of our advisory locks' keys; the second says who waits for whom"""

_UNREACHABLE = (
    "Connection refused",
    "failed to resolve",
    "could not translate",
    "No such file or directory",
    "timeout expired",
    "connection timeout",
    "starting up",
    "shutting down",
    "server closed the connection",
    "terminating connection",
    "connection is closed",
    "connection is lost",
    "consuming input failed",
    "SSL connection has been closed",
    "No route to host",
    "Network is unreachable",
)
_NOT_LET_IN = ("password authentication failed", "no password supplied", "pg_hba.conf", "authentication failed")
_LOCK_NOT_AVAILABLE, _READ_ONLY, _NO_RIGHT = "55P03", "25006", "42501"
_FULL = ("53100", "53200", "53300")


class Postgres(Backend):
    def __init__(self, url: URL) -> None:
        """Raises StoreError without the driver. A connection that the server dropped is replaced before it is used."""
        if find_spec("psycopg") is None:
            raise StoreError("PostgreSQL needs the driver psycopg.", fix="Run `pip install 'chiliad[postgres]'`.")
        settings = {
            "lock_timeout": WAIT_MS_MAX,
            "idle_in_transaction_session_timeout": IDLE_TRANSACTION_MS_MAX,
        }
        arguments = {
            "connect_timeout": CONNECT_S_MAX,
            "tcp_user_timeout": SILENCE_MS_MAX,
            "application_name": "chiliad",
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        }
        theirs = {name: value for name, value in url.query.items() if name in arguments}
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            json_serializer=as_json,
            hide_parameters=True,  # errors are logged; answers are not
            connect_args={**arguments, **theirs},
        )
        super().__init__(engine, _place(url), {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Whoever changes the schema is let in alone; nothing else has to wait."""
        yield

    def admit(self, connection: Connection, writers: Writers) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:ours, :writers)"), {"ours": LOCKS, "writers": writers})

    def explanation(self, error: DBAPIError) -> StoreError:
        words, state = str(error.orig).strip(), getattr(error.orig, "sqlstate", None)
        if state == _LOCK_NOT_AVAILABLE:
            return StoreError(f"{self.where} is locked by another process.", fix="Wait for that process, or stop it.")
        if state in _FULL:
            return StoreError(f"{self.where} has no room left: {words}.", fix="Free space or connections; try again.")
        if state in (_READ_ONLY, _NO_RIGHT):
            return StoreError(
                f"{self.where} may not be written by this user.",
                fix="Grant it the right to create tables in its schema.",
            )
        if any(told in words for told in _NOT_LET_IN):
            return StoreError(
                f"{self.where} refuses this user or password.", fix="Check both in database_url (CHILIAD_DATABASE_URL)."
            )
        if "does not exist" in words and state is None:
            return StoreError(
                f"{self.where}: {words.rpartition('FATAL:')[2].strip()}.",
                fix="Create it (`createdb NAME`), or correct database_url.",
            )
        if any(told in words for told in _UNREACHABLE):
            return StoreError(
                f"{self.where} does not answer: {words.splitlines()[0]}.",
                fix="Start the PostgreSQL server, or correct host and port in database_url; then run it again.",
            )
        return StoreError(f"{self.where} cannot be used: {words}.", fix="See the PostgreSQL server's log.")


def _place(url: URL) -> str:
    """`PostgreSQL database chiliad at db.example:5432`: nothing that could be a secret."""
    host = url.host or url.query.get("host") or "the local socket"
    port = f":{url.port}" if url.port else ""
    return f"PostgreSQL database {url.database or 'of the default name'} at {host}{port}"
