"""Who may ask: keys. Of a key's secret, 256 random bits, only the hash is kept."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select, update

from chiliad.errors import BadKey, KeyNotFound
from chiliad.store.audit import note
from chiliad.store.backend import Writers
from chiliad.store.database import Database
from chiliad.store.tables import keys

MARK = "chil_"
"""what every secret begins with, so that it is recognised where it should not be"""
PREFIX_CHARS = len(MARK) + 6
DEFAULT_PROJECT = "default"
LIFE_S_MAX = 100 * 366 * 86400
NAME_CHARS_MAX = 100
PROJECT_PATTERN = r"[a-z0-9][a-z0-9._\-]{0,63}"
_PROJECT = re.compile(PROJECT_PATTERN)


class Role(StrEnum):
    ADMIN = "admin"
    """everything, in every project"""
    MEMBER = "member"
    """asks, and sees what its project asked and spent"""
    VIEWER = "viewer"
    """sees what its project asked and spent"""
    APP = "app"
    """asks"""


@dataclass(frozen=True)
class Limits:
    """What a key may use; None does not limit. Tokens are those of prompts and answers, spend is in the ledger's money."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    spend_per_month: float | None = None

    @property
    def are_set(self) -> bool:
        return self != Limits()


@dataclass(frozen=True)
class Key:
    """prefix: the beginning of its secret, to know it by; the times are seconds since 1970"""

    id: str
    name: str
    project: str
    role: Role
    prefix: str
    created_s: float
    expires_s: float | None
    revoked_s: float | None
    last_used_s: float | None
    limits: Limits

    def valid_at(self, now_s: float) -> bool:
        return self.revoked_s is None and (self.expires_s is None or now_s < self.expires_s)


@dataclass(frozen=True)
class NewKey:
    key: Key
    secret: str = field(repr=False)
    """shown to whoever asked for the key, once; nobody can tell it again"""


class Keys:
    """Safe to share between threads and processes. `clock` gives seconds since 1970."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def create(
        self,
        name: str,
        *,
        role: Role,
        project: str = DEFAULT_PROJECT,
        limits: Limits | None = None,
        expires_s: float | None = None,
    ) -> NewKey:
        """Raises BadKey for a name, project, limit or end that a key cannot have."""
        limits = limits or Limits()
        now = self._clock()
        _check(name, project, limits, lives_s=None if expires_s is None else expires_s - now)
        secret = MARK + secrets.token_urlsafe(32)
        key_id = f"key-{secrets.token_hex(8)}"
        values = {"id": key_id, "name": name, "project": project, "role": role, "expires_s": expires_s}
        with self._database.write(Writers.ACCESS) as connection:
            connection.execute(
                keys.insert().values(
                    **values, **asdict(limits), secret_hash=hashed(secret), prefix=secret[:PREFIX_CHARS], created_s=now
                )
            )
            note(connection, now, "key.create", key_id, {"name": name, "project": project, "role": role})
            return NewKey(_find(connection, key_id), secret)

    def revoke(self, key_id: str) -> Key:
        """End a key for good, from now on; a second time changes nothing. Raises KeyNotFound."""
        now = self._clock()
        with self._database.write(Writers.ACCESS) as connection:
            key = _find(connection, key_id)
            if key.revoked_s is None:
                connection.execute(update(keys).where(keys.c.id == key_id).values(revoked_s=now))
                note(connection, now, "key.revoke", key_id, {"name": key.name})
            return _find(connection, key_id)

    def all(self) -> list[Key]:
        """Every key there ever was, the newest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(keys).order_by(keys.c.created_s.desc(), keys.c.id))
            return [_key(row) for row in rows]

    def get(self, key_id: str) -> Key:
        """Raises KeyNotFound."""
        with self._database.read() as connection:
            return _find(connection, key_id)

    def by_secret(self, secret: str) -> Key | None:
        """The key that a secret belongs to, if it is valid now."""
        with self._database.read() as connection:
            row = connection.execute(select(keys).where(keys.c.secret_hash == hashed(secret))).one_or_none()
        key = _key(row) if row else None
        return key if key and key.valid_at(self._clock()) else None

    def exist(self) -> bool:
        """Whether there is, or ever was, any key."""
        with self._database.read() as connection:
            return connection.execute(select(keys.c.id).limit(1)).first() is not None

    def have_admin(self) -> bool:
        """Whether anybody holds a valid key of an admin."""
        valid = and_(keys.c.revoked_s.is_(None), or_(keys.c.expires_s.is_(None), keys.c.expires_s > self._clock()))
        query = select(keys.c.id).where(keys.c.role == Role.ADMIN, valid).limit(1)
        with self._database.read() as connection:
            return connection.execute(query).first() is not None


def hashed(secret: str) -> str:
    """A secret of 256 random bits cannot be guessed from this, however fast the hash is."""
    return sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _check(name: str, project: str, limits: Limits, *, lives_s: float | None) -> None:
    if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable():
        raise BadKey(
            "A key needs a name.", fix=f"Give 1 to {NAME_CHARS_MAX} printable characters that say whose it is."
        )
    if not _PROJECT.fullmatch(project):
        raise BadKey(
            f"{project!r} is no name for a project.",
            fix="Use small letters, digits, dots, dashes and underscores, 64 at most.",
        )
    if any(value is not None and not 0 <= value < float("inf") for value in asdict(limits).values()):
        raise BadKey("A limit is no amount.", fix="Give 0 or more, or leave it out for no limit.")
    if lives_s is not None and not 0 < lives_s <= LIFE_S_MAX:
        raise BadKey("A key cannot end then.", fix="Give a time in the future, within a hundred years.")


def _find(connection: Connection, key_id: str) -> Key:
    row = connection.execute(select(keys).where(keys.c.id == key_id)).one_or_none()
    if row is None:
        raise KeyNotFound(f"There is no key {key_id!r}.", fix="`chiliad keys list` shows the keys that there are.")
    return _key(row)


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        project=row.project,
        role=Role(row.role),
        prefix=row.prefix,
        created_s=row.created_s,
        expires_s=row.expires_s,
        revoked_s=row.revoked_s,
        last_used_s=row.last_used_s,
        limits=Limits(row.requests_per_minute, row.tokens_per_minute, row.spend_per_month),
    )
