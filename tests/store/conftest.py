"""What tests of the store share: a database of each kind, and a clock that stands still until a test moves it."""

from datetime import UTC, datetime

import pytest

from chiliad.store import Database
from tests.small_disk import small_disk

__all__ = ["small_disk"]

NOON = datetime(2026, 11, 23, 12, 0, 10, tzinfo=UTC).timestamp()


class Clock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(database_url):
    database = Database.open(database_url)
    yield database
    database.close()
