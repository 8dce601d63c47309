"""What a kind of database has to offer; `sqlite.py` and `postgres.py` do."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from enum import IntEnum
from typing import Any

from sqlalchemy import Connection, Engine, exc
from sqlalchemy.exc import DBAPIError

from chiliad.errors import StoreError

WAIT_MS_MAX = 30_000
"""how long a writer waits for the writers before it"""
_ESCAPED = re.compile(r"(\\ud[89ab]..\\ud[c-f]..|\\[^u])|\\u0000|\\ud[89a-f]..")
"""in JSON: what is right as it is (two halves of a character, a backslash before another), or NUL, or half a character"""


class Writers(IntEnum):
    """Those who write the same rows: one at a time is let in."""

    SCHEMA = 1
    REGISTRY = 2
    JOBS = 3
    FILES = 4
    EVALS = 5
    ACCESS = 6
    SPENDING = 7
    FEEDBACK = 8
    VOTES = 9


class Backend(ABC):
    """One database.

    where: its place as people may be shown it, without the password
    read_options: execution options that make a connection's transaction a snapshot that never waits for a writer
    """

    def __init__(self, engine: Engine, where: str, read_options: Mapping[str, Any]) -> None:
        self.engine = engine
        self.where = where
        self.read_options = read_options

    @abstractmethod
    def opening(self) -> AbstractContextManager[None]:
        """Hold what has to be held while a database is made or opened."""

    @abstractmethod
    def admit(self, connection: Connection, writers: Writers) -> None:
        """Let the transaction that begins here in once no other one of `writers` is under way."""

    @abstractmethod
    def explanation(self, error: DBAPIError) -> StoreError | None:
        """What the driver's error means for the user; None leaves it to whoever knows better."""

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raise StoreError for whatever the database cannot do."""
        try:
            yield
        except DBAPIError as error:
            raise self.explanation(error) or error from error
        except exc.TimeoutError as error:
            raise StoreError(
                f"No connection to {self.where} became free: too many threads use it at a time.", fix="Try it again."
            ) from error


def as_json(value: Any) -> str:
    """How a JSON column is written. NUL and halves of characters go: PostgreSQL searches no table in which one stands."""
    return _ESCAPED.sub(lambda found: found[1] or r"\ufffd", json.dumps(value))
