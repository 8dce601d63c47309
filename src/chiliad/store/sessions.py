"""Browsers that somebody signed in with. A session's token is kept as its hash, like a key's secret."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select

from chiliad.store.audit import note
from chiliad.store.backend import Writers
from chiliad.store.database import Database
from chiliad.store.keys import hashed
from chiliad.store.tables import sessions

LIVES_S = 12 * 3600.0


@dataclass(frozen=True)
class Session:
    """key_id: the key it was opened with and ends with; None for one that the admin link opened"""

    key_id: str | None


class Sessions:
    """Safe to share between threads and processes. `clock` gives seconds since 1970."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def open(self, key_id: str | None) -> str:
        """The token of a new session, good for LIVES_S. Those that have run out are forgotten on the way."""
        now, token = self._clock(), secrets.token_urlsafe(32)
        with self._database.write(Writers.ACCESS) as connection:
            connection.execute(sessions.delete().where(sessions.c.expires_s <= now))
            row = {"token_hash": hashed(token), "key_id": key_id, "expires_s": now + LIVES_S}
            connection.execute(sessions.insert().values(**row))
            note(connection, now, "session.open", key_id or "admin-link")
        return token

    def find(self, token: str) -> Session | None:
        query = select(sessions.c.key_id).where(
            sessions.c.token_hash == hashed(token), sessions.c.expires_s > self._clock()
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return Session(row.key_id) if row else None

    def close(self, token: str) -> None:
        with self._database.write(Writers.ACCESS) as connection:
            connection.execute(sessions.delete().where(sessions.c.token_hash == hashed(token)))
