"""The database: typed rows in and out, numbers that nobody gets twice, and errors that say what to do."""

import sqlite3
import subprocess
import sys

import pytest

from chiliad.errors import StoreError
from chiliad.store import PromotionRow, Store, VersionRow, sqlite_url


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ws" / "chiliad.db"


@pytest.fixture
def store(path):
    opened = Store.open(sqlite_url(path))
    yield opened
    opened.close()


def version(name, number, dataset=None):
    return VersionRow(name, number, f"hash-{name}-{number}", dataset, {"name": name, "labels": ["ä", "b"]})


def test_versions_come_back_as_they_went_in(store):
    rows = [version("a", 1), version("a", 2, dataset="d"), version("b", 1)]
    store.put_versions(rows)
    store.put_versions(rows)
    assert store.numbers() == {"a": {1, 2}, "b": {1}}
    assert store.versions("a") == rows[:2]
    assert store.version("a", 2) == rows[1]
    assert store.version("a", 3) is None


def test_the_alias_names_the_live_version(store):
    store.put_versions([version("a", 1)])
    assert store.live_version("a") is None
    history = [PromotionRow("promote", 1, "2026-01-01", False, {"delta": 0.5})]
    store.put_alias("a", 1, history)
    assert store.live_version("a") == version("a", 1)
    assert store.live_versions() == {"a": version("a", 1)}
    assert store.aliases() == {"a": 1}
    assert store.history("a") == history
    assert store.histories() == {"a": history}
    store.remove_expert("a")
    assert (store.numbers(), store.aliases(), store.histories()) == ({}, {}, {})


def test_numbers_rise_and_never_come_back(store):
    assert [store.reserve_version("a") for _ in range(3)] == [1, 2, 3]
    assert store.reserve_version("a", above=9) == 10
    store.remove_expert("a")
    assert store.reserve_version("a") == 11
    store.put_versions([version("b", 5)])
    assert store.reserve_version("b") == 6


def test_a_comparison_is_replaced_by_a_newer_one_and_goes_with_its_versions(store):
    store.put_comparison("a", 2, 1, {"p": 0.5})
    store.put_comparison("a", 2, 1, {"p": 0.1})
    assert store.comparison("a", 2, 1) == {"p": 0.1}
    assert store.comparison("a", 1, 2) is None
    store.remove_version("a", 1)
    assert store.comparison("a", 2, 1) is None


def test_datasets(store):
    store.put_dataset("abc", {"rows": 3})
    assert store.datasets() == {"abc": {"rows": 3}}
    store.remove_dataset("abc")
    assert store.datasets() == {}


def test_concurrent_processes_get_different_numbers(path):
    code = """
import sys
from chiliad.store import Store
store = Store.open(sys.argv[1])
print(*[store.reserve_version("a") for _ in range(25)])
"""
    command = [sys.executable, "-c", code, sqlite_url(path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 3
    numbers = [int(number) for output in outputs for number in output.split()]
    assert sorted(numbers) == list(range(1, 76))


def test_a_reader_does_not_wait_for_a_writer(store, path):
    store.put_versions([version("a", 1)])
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    try:
        assert store.version("a", 1) == version("a", 1)
    finally:
        writer.close()


def test_reopening_keeps_everything(store, path):
    store.put_versions([version("a", 1)])
    store.close()
    again = Store.open(sqlite_url(path))
    assert again.versions("a") == [version("a", 1)]
    again.close()


def test_a_newer_schema_is_refused(store, path):
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE schema_version SET number = 99")
    connection.close()
    with pytest.raises(StoreError, match="Upgrade Chiliad"):
        Store.open(sqlite_url(path))


def test_a_broken_file_says_that_it_can_be_rebuilt(path):
    path.parent.mkdir()
    path.write_bytes(b"this is no database, only words " * 100)
    with pytest.raises(StoreError, match="rebuilt from the workspace"):
        Store.open(sqlite_url(path))


@pytest.mark.parametrize("url", ["postgresql://localhost/x", "sqlite://", "nonsense"])
def test_other_urls_are_refused(url):
    with pytest.raises(StoreError, match="sqlite:////"):
        Store.open(url)


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
