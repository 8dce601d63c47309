"""`chiliad jobs`: seeing and steering what is in the queue."""

import json

import pytest

from chiliad.store import Jobs, Store


@pytest.fixture
def job(settings):
    store = Store.of(settings)
    yield Jobs(store.database).submit("train", {"name": "tickets"})
    store.close()


def test_a_job_is_listed_shown_and_steered(chiliad, job):
    assert job.id in chiliad("jobs", "list").out
    assert json.loads(chiliad("jobs", "list", "--json").out)[0]["state"] == "queued"
    assert "Queued." in chiliad("jobs", "show", job.id).out
    assert "paused" in chiliad("jobs", "pause", job.id).out
    assert "queued" in chiliad("jobs", "resume", job.id).out
    assert json.loads(chiliad("jobs", "cancel", job.id, "--json").out)["state"] == "cancelled"
    shown = json.loads(chiliad("jobs", "show", job.id, "--after", "1", "--limit", "2", "--json").out)
    assert [event["text"] for event in shown["events"]] == ["Paused.", "Resumed."]


def test_what_cannot_be_done_is_said(chiliad, job):
    chiliad("jobs", "list", "-w", "typo").refused("no workspace in typo")
    chiliad("jobs", "show", "job-x").refused("no job 'job-x'")
    chiliad("jobs", "resume", job.id).refused("is queued: it cannot be resumed")
