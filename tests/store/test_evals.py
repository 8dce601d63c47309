"""Evals and the items of their runs, on both kinds of database."""

import pytest

from chiliad.errors import EvalNotFound, JobConflict, JobNotFound
from chiliad.store import Database, Evals, ItemStatus, Jobs, JobState

PASSED, FAILED, ERRORED = ItemStatus


@pytest.fixture
def database(database_url):
    database = Database.open(database_url)
    yield database
    database.close()


@pytest.fixture
def evals(database):
    return Evals(database)


def test_an_eval_is_kept_changed_and_deleted(evals):
    made = evals.create({"name": "a", "testing_criteria": [1]})
    assert evals.get(made.id) == made
    changed = evals.update(made.id, {"name": "b"})
    assert changed.document == {"name": "b", "testing_criteria": [1]}
    assert changed.updated_s >= made.updated_s
    others = [evals.create({}) for _ in range(3)]
    assert {one.id for one in evals.page()} == {made.id, *(one.id for one in others)}
    first, second, *_ = evals.page(newest_first=False)
    assert evals.page(newest_first=False, after=first.id, limit=1) == [second]
    evals.delete(made.id)
    for look in (evals.get, evals.delete, lambda one: evals.update(one, {}), lambda one: evals.page(after=one)):
        with pytest.raises(EvalNotFound):
            look(made.id)


def test_items_are_recorded_once_counted_and_found_by_status(evals):
    evals.put_items("r", [(n, PASSED if n % 2 else FAILED, {"n": n}) for n in range(4)])
    evals.put_items("r", [(3, ERRORED, {}), (4, ERRORED, {"n": 4})])
    evals.put_items("other", [(0, PASSED, {})])
    assert evals.counts("r") == {"pass": 2, "fail": 2, "error": 1}
    assert [item.number for item in evals.items("r", after=1, limit=2)] == [2, 3]
    assert [item.number for item in evals.items("r", after=4, newest_first=True)] == [3, 2, 1, 0]
    assert [item.number for item in evals.items("r", statuses=[FAILED, ERRORED])] == [0, 2, 4]
    assert evals.item("r", 3).document == {"n": 3}
    evals.delete_items("r")
    assert evals.items("r") == []
    with pytest.raises(EvalNotFound):
        evals.item("r", 3)
    assert evals.counts("other").total() == 1


def test_jobs_are_found_by_kind_state_and_document_and_forgotten(database):
    jobs = Jobs(database)
    one, two = (jobs.submit("eval_run", {"eval": name, "deep": {"k": name}}) for name in "ab")
    other = jobs.submit("train", {"eval": "a"})
    assert jobs.page(kind="eval_run", holding={("eval",): "a"}) == [one]
    assert jobs.page(holding={("deep", "k"): "b"}) == [two]
    assert {job.id for job in jobs.page(holding={("eval",): "a"})} == {one.id, other.id}
    nobodys = jobs.submit("suggest", {"eval": None})
    assert jobs.page(holding={("eval",): None}) == [nobodys]
    assert jobs.page(state=JobState.CANCELLED) == []
    jobs.submit("eval_run", {"eval": "c", "source": [{"item": {"a\0": "a\0b"}}]})
    assert jobs.page(kind="eval_run", holding={("eval",): "a"}) == [one]
    with pytest.raises(JobConflict):
        jobs.delete(one.id)
    jobs.cancel(one.id)
    assert [job.id for job in jobs.page(state=JobState.CANCELLED)] == [one.id]
    assert [event.text for event in jobs.latest_events(one.id)] == ["Cancelled.", "Queued."]
    assert [event.text for event in jobs.latest_events(one.id, before=2, limit=1)] == ["Queued."]
    jobs.delete(one.id)
    with pytest.raises(JobNotFound):
        jobs.get(one.id)
