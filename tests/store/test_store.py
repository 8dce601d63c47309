"""What every database promises, asked of each kind: typed rows in and out, and numbers that nobody gets twice."""

import subprocess
import sys
import threading

import pytest
from sqlalchemy import func, select

from chiliad.store import PromotionRow, Store, VersionRow
from chiliad.store.backend import Writers
from chiliad.store.tables import versions


@pytest.fixture
def store(database_url):
    opened = Store.open(database_url)
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


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\0\0b", "a\ufffd\ufffdb"),
        ("\\\0", "\\\ufffd"),
        ("\ud83d", "\ufffd"),
        ("\ud83d🐘\udc18", "\ufffd🐘\ufffd"),
        (r"C:\u0000 \ud83d", r"C:\u0000 \ud83d"),
    ],
)
def test_what_is_no_text_in_one_version_hides_no_other(store, text, kept):
    store.put_versions([VersionRow("a", 1, "hash", None, {"choices": [text], "training": {"run": "r"}})])
    (found,) = store.versions_trained_with("run")
    assert found.document["choices"] == [kept]


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


def test_concurrent_processes_get_different_numbers(database_url):
    code = """
import sys
from chiliad.store import Store
store = Store.open(sys.argv[1])
print(*[store.reserve_version("a") for _ in range(25)])
"""
    command = [sys.executable, "-c", code, database_url]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 3
    numbers = [int(number) for output in outputs for number in output.split()]
    assert sorted(numbers) == list(range(1, 76))


def test_reopening_keeps_everything(store, database_url):
    store.put_versions([version("a", 1)])
    store.close()
    again = Store.open(database_url)
    assert again.versions("a") == [version("a", 1)]
    again.close()


def test_a_reader_sees_one_moment_and_does_not_wait_for_a_writer(store):
    store.put_versions([version("a", 1)])
    with store.database.write(Writers.REGISTRY) as writer:
        writer.execute(versions.delete())
        with store.database.read() as reader:
            assert reader.scalar(select(func.count()).select_from(versions)) == 1
            writer.execute(versions.insert().values(**vars(version("a", 2))))
            writer.commit()
            assert reader.scalar(select(func.count()).select_from(versions)) == 1
    assert store.versions("a") == [version("a", 2)]


def test_a_failed_write_changes_nothing(store):
    store.put_versions([version("a", 1)])
    with pytest.raises(ZeroDivisionError):
        fail_after_deleting(store)
    assert store.versions("a") == [version("a", 1)]


def fail_after_deleting(store):
    with store.database.write(Writers.REGISTRY) as writer:
        writer.execute(versions.delete())
        raise ZeroDivisionError


def test_threads_that_promote_at_once_leave_one_whole_history(store):
    def promote(number):
        for _ in range(10):
            store.put_alias("a", number, [PromotionRow("promote", number, str(n), False, None) for n in range(number)])

    threads = [threading.Thread(target=promote, args=(number,)) for number in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    live = store.aliases()["a"]
    assert [row.version for row in store.history("a")] == [live] * live


def test_words_of_any_language_come_back(store):
    row = VersionRow("a", 1, "h", None, {"label": "Ωμέγα \ufeff \x1f 🐘 'quoted' %s :x"})
    store.put_versions([row])
    assert store.version("a", 1) == row
