"""SQLite: a file that several processes share, and errors that say what to do."""

import pytest

from chiliad.errors import StoreError
from chiliad.store import Store, VersionRow, sqlite_url
from tests.store.test_store import version


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ws" / "chiliad.db"


def test_a_broken_file_says_that_it_can_be_rebuilt(path):
    path.parent.mkdir()
    path.write_bytes(b"this is no database, only words " * 100)
    with pytest.raises(StoreError, match="rebuilt from the workspace"):
        Store.open(sqlite_url(path))


def test_a_full_disk_is_explained_and_the_database_stays_whole(small_disk):
    store = Store.open(sqlite_url(small_disk / "chiliad.db"))
    store.put_versions([version("a", 1)])
    with pytest.raises(StoreError, match="disk is full"):
        fill(store)
    assert store.version("a", 1) == version("a", 1)
    store.close()


def fill(store):
    for number in range(2, 2000):
        store.put_versions([VersionRow("a", number, "h", None, {"big": "x" * 4000})])
