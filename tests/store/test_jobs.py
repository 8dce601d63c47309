"""Jobs on either database: one worker each, nothing lost when it dies, and every end is an end."""

import threading
from collections import Counter

import pytest

from chiliad.errors import JobConflict, JobNotFound
from chiliad.store import Database, Jobs, JobState, LeaseLost, Wish
from chiliad.store.jobs import ATTEMPTS_MAX


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        self.now += 0.001
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def jobs(database_url, clock):
    database = Database.open(database_url)
    yield Jobs(database, clock)
    database.close()


def texts(jobs, job):
    return [event.text for event in jobs.events(job.id)]


def test_a_job_goes_from_queued_to_done_and_tells_what_happened(jobs):
    job = jobs.submit("train", {"name": "ä"})
    assert (job.state, job.document, job.attempts) == (JobState.QUEUED, {"name": "ä"}, 0)
    held = jobs.lease("w")
    assert (held.id, held.state, held.attempts) == (job.id, JobState.RUNNING, 1)
    assert jobs.lease("other") is None
    jobs.tell(job.id, "training", {"step": 1})
    assert jobs.keep(job.id, "w") is None
    jobs.succeed(job.id, "w", {"expert": "a@1"})
    done = jobs.get(job.id)
    assert (done.state, done.result, done.error) == (JobState.SUCCEEDED, {"expert": "a@1"}, None)
    assert done.created_s < done.started_s < done.finished_s
    assert texts(jobs, job) == ["Queued.", "Started.", "training", "Done."]
    assert not jobs.has_work()


def test_the_same_key_gives_the_same_job(jobs):
    first = jobs.submit("train", {"name": "a"}, key="k")
    assert jobs.submit("train", {"name": "a"}, key="k") == first == jobs.by_key("k")
    assert jobs.submit("train", {"name": "a"}) != first
    with pytest.raises(JobConflict, match="names another job"):
        jobs.submit("train", {"name": "b"}, key="k")


def test_the_oldest_comes_first_and_pages_go_from_the_newest(jobs):
    made = [jobs.submit("train", {"n": n}).id for n in range(5)]
    assert [job.id for job in jobs.page(limit=2)] == made[:2:-1]
    assert [job.id for job in jobs.page(after=made[3], limit=2)] == [made[2], made[1]]
    assert [jobs.lease("w").id for _ in made] == made
    with pytest.raises(JobNotFound, match="jobs list"):
        jobs.page(after="job-x")


def test_events_are_paged(jobs):
    job = jobs.submit("train", {})
    for number in range(10):
        jobs.tell(job.id, f"m{number}")
    assert [event.text for event in jobs.events(job.id, after=1, limit=3)] == ["m0", "m1", "m2"]
    assert [event.number for event in jobs.events(job.id, after=9)] == [10, 11]


def test_a_job_whose_worker_died_is_continued_by_another(jobs, clock):
    job = jobs.submit("train", {})
    jobs.lease("dead", lease_s=30)
    assert not jobs.has_work()
    clock.now += 31
    assert jobs.has_work()
    again = jobs.lease("w")
    assert (again.id, again.attempts) == (job.id, 2)
    with pytest.raises(LeaseLost):
        jobs.keep(job.id, "dead")
    with pytest.raises(LeaseLost):
        jobs.succeed(job.id, "dead", {})
    jobs.succeed(job.id, "w", {})


def test_a_heartbeat_keeps_a_job(jobs, clock):
    job = jobs.submit("train", {})
    jobs.lease("w", lease_s=30)
    for _ in range(3):
        clock.now += 20
        jobs.keep(job.id, "w", lease_s=30)
        assert jobs.lease("other") is None


def test_a_job_that_kills_its_workers_fails(jobs, clock):
    job = jobs.submit("train", {})
    for _ in range(ATTEMPTS_MAX):
        assert jobs.lease("w", lease_s=1).id == job.id
        clock.now += 2
    assert jobs.lease("w") is None
    assert jobs.get(job.id).state is JobState.FAILED
    assert "workers died" in jobs.get(job.id).error["cause"]


@pytest.mark.parametrize(
    ("ask", "wish", "state"), [("pause", Wish.PAUSE, "paused"), ("cancel", Wish.CANCEL, "cancelled")]
)
def test_wishes_are_heard_by_the_worker_or_done_at_once(jobs, clock, ask, wish, state):
    waiting = jobs.submit("train", {})
    assert getattr(jobs, ask)(waiting.id).state == state
    assert not jobs.has_work()
    running = jobs.submit("train", {})
    jobs.lease("w")
    assert getattr(jobs, ask)(running.id).state is JobState.RUNNING
    assert jobs.keep(running.id, "w") is wish
    jobs.stop(running.id, "w", wish)
    assert jobs.get(running.id).state == state
    orphan = jobs.submit("train", {})
    jobs.lease("w", lease_s=1)
    getattr(jobs, ask)(orphan.id)
    clock.now += 2
    assert jobs.lease("other") is None
    assert jobs.get(orphan.id).state == state
    assert getattr(jobs, ask)(orphan.id).state == state, "asking twice is no error"


def test_a_paused_job_is_resumed_and_an_ended_one_is_not(jobs):
    job = jobs.submit("train", {})
    jobs.pause(job.id)
    assert jobs.resume(job.id).state is JobState.QUEUED
    jobs.lease("w")
    jobs.pause(job.id)
    assert jobs.resume(job.id).wish is None
    jobs.cancel(job.id)
    with pytest.raises(JobConflict, match="cannot be resumed"):
        jobs.resume(job.id)
    jobs.stop(job.id, "w", Wish.CANCEL)
    for ask in (jobs.pause, jobs.resume):
        with pytest.raises(JobConflict, match="is cancelled"):
            ask(job.id)


def test_a_worker_that_stops_lays_its_job_down_for_the_next(jobs):
    job = jobs.submit("train", {})
    jobs.lease("w")
    jobs.stop(job.id, "w", None)
    assert jobs.lease("next").attempts == 1


def test_a_job_that_is_put_off_waits_and_is_tried_again(jobs, clock):
    job = jobs.submit("train", {})
    for attempt in (1, 2):
        assert jobs.lease("w").attempts == attempt
        jobs.put_off(job.id, "w", "The disk is full.", delay_s=30)
        assert jobs.lease("w") is None
        clock.now += 31
    put_off = "Put off: The disk is full."
    assert texts(jobs, job) == ["Queued.", "Started.", put_off, "Tried again.", put_off]
    with pytest.raises(LeaseLost):
        jobs.put_off(job.id, "w", "It is another's by now.")


def test_waiting_for_others_is_no_attempt_and_wishes_are_heard_meanwhile(jobs, clock):
    job = jobs.submit("train", {})
    for _ in range(2 * ATTEMPTS_MAX):
        assert jobs.lease("w").attempts == 1
        jobs.put_off(job.id, "w", "In use.", delay_s=30, counts=False)
        clock.now += 31
    jobs.cancel(job.id)
    assert jobs.lease("w") is None
    assert jobs.get(job.id).state is JobState.CANCELLED


def test_unknown_jobs_are_not_found(jobs):
    for ask in (jobs.get, jobs.events, jobs.cancel, jobs.pause, jobs.resume):
        with pytest.raises(JobNotFound):
            ask("job-x")


def test_many_workers_take_every_job_once(jobs):
    made = {jobs.submit("train", {"n": n}).id for n in range(24)}
    taken = Counter()

    def work(name):
        while job := jobs.lease(name):
            taken[job.id] += 1
            jobs.succeed(job.id, name, {})

    workers = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert taken == dict.fromkeys(made, 1)
