"""The ledger's own thread: nothing waits for it, nothing is lost that need not be, and it stops when it is told to."""

import threading
import time
from dataclasses import replace

import pytest

from chiliad.errors import StoreError
from chiliad.ledger import recorder as module
from chiliad.ledger.recorder import BATCH_MAX, Recorder
from chiliad.store import Database, Entry, GroupBy, Ledger, Settled, sqlite_url

ENTRY = Entry("a", 1e9, "k", "default", "tickets@1", 1, 8, 2, 2, 0.5, 1.0, 0.25)
LONG_S = 1000.0


def entries(count):
    return [Settled(replace(ENTRY, id=f"a{number}")) for number in range(count)]


class Writer:
    """Remembers what it was given, and fails while `broken`."""

    def __init__(self):
        self.batches = []
        self.used = {}
        self.broken = False

    def record(self, settled, used):
        if self.broken:
            raise StoreError("The database is away.", fix="Wait.")
        self.batches.append([one.entry.id for one in settled])
        self.used.update(used)

    @property
    def ids(self):
        return [one for batch in self.batches for one in batch]


@pytest.fixture
def writer():
    return Writer()


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_entries_reach_a_real_ledger_when_it_is_closed(tmp_path):
    database = Database.open(sqlite_url(tmp_path / "chiliad.db"))
    recorder = Recorder(Ledger(database), flush_s=LONG_S)
    for one in entries(3):
        recorder.add(one)
    recorder.close()
    assert Ledger(database).sums(GroupBy.MODEL)[0].requests == 3
    database.close()


def test_entries_are_written_soon_without_being_asked_for(writer):
    recorder = Recorder(writer, flush_s=0.05)
    recorder.add(*entries(1))
    recorder.used("k", 5.0)
    wait_until(lambda: writer.ids == ["a0"] and writer.used == {"k": 5.0})
    recorder.close()


def test_adding_does_not_wait_for_a_write_under_way(writer):
    going_on, writing = threading.Event(), threading.Event()

    def slow(settled, used):
        writing.set()
        assert going_on.wait(30)

    writer.record = slow
    recorder = Recorder(writer, flush_s=0.01)
    first, second = entries(2)
    recorder.add(first)
    assert writing.wait(30)
    recorder.add(second)  # returns, or this test hangs
    going_on.set()
    recorder.close()


def test_a_full_batch_is_written_at_once_and_no_batch_is_larger(writer):
    recorder = Recorder(writer, flush_s=LONG_S)
    for one in entries(BATCH_MAX + 10):
        recorder.add(one)
    wait_until(lambda: len(writer.ids) >= BATCH_MAX)
    recorder.close()
    assert writer.ids == [f"a{number}" for number in range(BATCH_MAX + 10)]
    assert max(map(len, writer.batches)) <= BATCH_MAX


def test_while_the_database_is_away_entries_wait_in_their_order(writer, caplog):
    recorder = Recorder(writer, flush_s=LONG_S)
    writer.broken = True
    first, second = entries(2)
    recorder.add(first)
    recorder.used("k", 1.0)
    assert not recorder.flush()
    recorder.add(second)
    recorder.used("k", 2.0)
    writer.broken = False
    assert recorder.flush()
    recorder.close()
    assert writer.ids == ["a0", "a1"]
    assert writer.used == {"k": 2.0}
    assert "waits for its database" in caplog.text


def test_what_cannot_be_kept_is_given_up_and_told(writer, caplog, monkeypatch):
    monkeypatch.setattr(module, "WAITING_MAX", 3)
    recorder = Recorder(writer, flush_s=LONG_S)
    recorder._entries = type(recorder._entries)(maxlen=3)
    writer.broken = True
    for one in entries(5):
        recorder.add(one)
    assert not recorder.flush()
    writer.broken = False
    recorder.close()
    assert writer.ids == ["a2", "a3", "a4"]
    assert "2 answers are missing" in caplog.text


def test_what_is_left_when_it_closes_without_a_database_is_told(writer, caplog):
    recorder = Recorder(writer, flush_s=LONG_S)
    writer.broken = True
    recorder.add(*entries(1))
    recorder.close()
    assert "1 answers are missing" in caplog.text
