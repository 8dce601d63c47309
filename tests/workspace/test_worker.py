"""Background jobs on a tiny base: done, stopped, continued after kill -9 to the same bits, beside a server or alone."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from threading import Thread

import pytest

from chiliad.cli.worker import step_back
from chiliad.config import WorkerSettings
from chiliad.errors import FileMissing, JobConflict, StoreError, UnusableData
from chiliad.registry.runs import training_run
from chiliad.store import Jobs, JobState
from chiliad.store.files import folder_lock
from chiliad.store.jobs import ATTEMPTS_MAX
from chiliad.workspace import TrainOptions, Workspace
from chiliad.workspace.worker import Worker
from chiliad.workspace.worker_process import WorkerProcess
from tests.tiny import QUICK, environment, write_table

LONG = TrainOptions(rank=2, epochs=40, baselines=False)
WORK = (sys.executable, "-m", "chiliad", "worker", "--until-idle")


def work_until_done(workspace, job, **options):
    """What a worker does that is started again and again."""
    while workspace.jobs.get(job.id).state in (JobState.QUEUED, JobState.RUNNING):
        Worker(workspace, workspace.jobs, **options).run(until_idle=True)
        time.sleep(0.01)
    return workspace.jobs.get(job.id)


def wait_for(condition, process=None):
    while not condition():
        assert process is None or process.poll() is None, "the worker ended too early"
        time.sleep(0.01)


def texts(workspace, job):
    return [event.text for event in workspace.jobs.events(job.id)]


def checkpoints(workspace):
    return list((workspace.folder / "runs").glob("*/checkpoint.safetensors"))


def worker(settings):
    return subprocess.Popen(WORK, env=environment(settings, CHILIAD_WORKER__LEASE_S="1"))


def test_a_training_is_done_and_its_data_is_not_needed_any_more(workspace, table):
    job = workspace.jobs.train("tickets", table, base="tiny", options=QUICK, key="k")
    assert workspace.jobs.train("tickets", table, base="tiny", options=QUICK, key="k") == job
    with pytest.raises(JobConflict):
        workspace.jobs.train("others", table, base="tiny", key="k")
    table.unlink()
    done = work_until_done(workspace, job)
    assert done.result == {"expert": "tickets@1", "live": True, "refusal": None, "comparison": None, "warning": None}
    assert workspace.expert("tickets")("where is box 3") in {"status", "refund", "damage"}
    assert {"Queued.", "Started.", "training", "Done."} <= set(texts(workspace, job))


def test_bad_data_is_told_when_it_is_submitted(workspace, tmp_path):
    with pytest.raises(UnusableData):
        workspace.jobs.train("tickets", write_table(tmp_path / "one.csv", rows=[("a", "b")]), base="tiny")
    assert workspace.jobs.page() == []


def test_an_evaluation_writes_the_card(workspace, table):
    expert = workspace.train("tickets", table, base="tiny", options=QUICK)
    assert expert.card is None
    done = work_until_done(workspace, workspace.jobs.evaluate("tickets"))
    assert done.state is JobState.SUCCEEDED, done.error
    assert done.result["verdict"] == expert.card.verdict.line


def test_corrections_are_frozen_with_the_live_version_and_learned_in_the_background(workspace, table, tmp_path):
    workspace.train("tickets", table, base="tiny", options=QUICK)
    fixed = write_table(tmp_path / "fixed.csv", rows=[("box 500 came flat", "damage"), ("", "status")])
    job = workspace.jobs.correct("tickets", fixed, options=QUICK, key="k")
    fixed.unlink()
    assert workspace.jobs.correct("tickets", fixed, options=QUICK, key="k") == job
    with pytest.raises(JobConflict):
        workspace.jobs.correct("others", fixed, key="k")
    done = work_until_done(workspace, job)
    assert done.result["expert"] == "tickets@2", done.error
    version = workspace.registry.get("tickets@2")
    assert (version.parent, version.training["corrections"]) == (1, 1)
    assert version.training["corrections_left_out"] == {"of_test_rows": 0, "blank": 1}
    with Workspace.open(replace(workspace.settings, workspace=tmp_path / "at-once")) as other:
        other.train("tickets", table, base="tiny", options=QUICK)
        again = write_table(fixed, rows=[("box 500 came flat", "damage"), ("", "status")])
        wanted = other.correct("tickets", again, options=QUICK).version.adapter_hash
    assert version.adapter_hash == wanted, "here and now gives the same bits"


def test_a_job_that_fails_says_why_and_the_next_one_is_done(workspace, table):
    workspace.train("tickets", table, base="tiny", options=QUICK)
    doomed = workspace.jobs.evaluate("tickets@1")
    strange = workspace.jobs.submit("dance", {})
    workspace.registry.delete_expert("tickets")
    good = workspace.jobs.train("others", table, base="tiny", options=QUICK)
    work_until_done(workspace, good)
    failed = workspace.jobs.get(doomed.id)
    assert (failed.state, failed.error["code"]) == (JobState.FAILED, "expert_not_found")
    assert "no job 'dance'" in workspace.jobs.get(strange.id).error["cause"]
    assert workspace.jobs.get(good.id).state is JobState.SUCCEEDED


def test_a_worker_killed_in_the_middle_costs_nothing(settings, workspace, table, tmp_path):
    with Workspace.open(replace(settings, workspace=tmp_path / "undisturbed")) as other:
        wanted = other.train("tickets", table, base="tiny", options=LONG).version.adapter_hash
    job = workspace.jobs.train("tickets", table, base="tiny", options=LONG)
    with worker(settings) as process:
        wait_for(lambda: checkpoints(workspace), process)
        process.kill()
    assert workspace.jobs.get(job.id).state is JobState.RUNNING
    done = work_until_done(workspace, job)
    assert (done.state, done.attempts) == (JobState.SUCCEEDED, 2)
    assert "Its worker died; another one continues." in texts(workspace, job)
    assert [v.adapter_hash for v in workspace.registry.versions("tickets")] == [wanted]


def test_a_training_whose_end_was_not_recorded_is_not_done_twice(workspace, table, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    job = workspace.jobs.train("tickets", table, base="tiny", options=QUICK)
    with monkeypatch.context() as patch:
        patch.setattr(workspace.jobs, "succeed", killed)
        with pytest.raises(KeyboardInterrupt):
            Worker(workspace, workspace.jobs).run(until_idle=True)
    assert workspace.jobs.get(job.id).state is JobState.QUEUED
    workspace.train("tickets", table, base="tiny", options=replace(QUICK, seed=4))
    workspace.promote("tickets@2", force=True)
    assert work_until_done(workspace, job).result["expert"] == "tickets@1"
    assert [version.number for version in workspace.registry.versions("tickets")] == [1, 2]
    assert workspace.registry.get("tickets").number == 2, "what became live meanwhile stays"
    assert not checkpoints(workspace)


def test_a_result_that_the_database_did_not_take_is_recorded_later(workspace, table, monkeypatch):
    job = workspace.jobs.train("tickets", table, base="tiny", options=QUICK)
    succeed, times = workspace.jobs.succeed, iter(range(3))

    def away(*arguments):
        if next(times) < 2:
            raise StoreError("The database is away.", fix="Wait.")
        succeed(*arguments)

    monkeypatch.setattr(workspace.jobs, "succeed", away)
    done = work_until_done(workspace, job, lease_s=0.5)
    assert (done.result["expert"], done.attempts) == ("tickets@1", 3)
    assert len(workspace.registry.versions("tickets")) == 1


def test_a_trouble_that_stays_fails_with_its_own_words(workspace):
    @contextmanager
    def full(workspace, job):
        raise StoreError("The disk is full.", fix="Free some space.")
        yield

    @contextmanager
    def gone(workspace, job):
        raise FileMissing("There is no file.", fix="Upload it again.")
        yield

    jobs, kinds = workspace.jobs, {"full": full, "gone": gone}
    first, second = jobs.submit("full", {}), jobs.submit("gone", {})
    failed = [work_until_done(workspace, job, kinds=kinds, lease_s=0.1) for job in (first, second)]
    assert [(job.attempts, job.error["cause"]) for job in failed] == [
        (ATTEMPTS_MAX, "The disk is full."),
        (1, "There is no file."),
    ]


def test_a_training_that_another_process_is_at_waits_for_it(workspace, table):
    job = workspace.jobs.train("tickets", table, base="tiny", options=QUICK)
    assignment = workspace.assign("tickets", table, base="tiny", options=QUICK)
    run = training_run(workspace.folder, "tickets", assignment.dataset.hash, assignment.settings_hash[:8])
    with folder_lock(run):
        Worker(workspace, workspace.jobs, lease_s=0.5).run(until_idle=True)
    assert workspace.jobs.get(job.id).state is JobState.RUNNING
    assert any("in use by another process" in text for text in texts(workspace, job))
    assert work_until_done(workspace, job).state is JobState.SUCCEEDED


def test_a_worker_for_ever_outlasts_a_database_that_is_away(workspace, monkeypatch):
    looks = []

    def has_work():
        looks.append(len(looks))
        raise StoreError("The database is away.", fix="Wait.") if len(looks) == 1 else KeyboardInterrupt

    monkeypatch.setattr(workspace.jobs, "has_work", has_work)
    with pytest.raises(KeyboardInterrupt):
        Worker(workspace, workspace.jobs).run(until_idle=False)
    assert looks == [0, 1]


def test_a_worker_that_is_told_to_stop_lays_its_job_down(settings, workspace, table):
    job = workspace.jobs.train("tickets", table, base="tiny", options=LONG)
    with worker(settings) as process:
        wait_for(lambda: checkpoints(workspace), process)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    assert workspace.jobs.get(job.id).state is JobState.QUEUED
    assert work_until_done(workspace, job).attempts == 1


def test_a_running_training_is_paused_resumed_and_cancelled(settings, workspace, table):
    job = workspace.jobs.train("tickets", table, base="tiny", options=replace(LONG, epochs=4000))
    with worker(settings) as process:
        wait_for(lambda: checkpoints(workspace), process)
        workspace.jobs.pause(job.id)
        process.wait()
    assert workspace.jobs.get(job.id).state is JobState.PAUSED
    assert checkpoints(workspace)
    workspace.jobs.resume(job.id)
    with worker(settings) as process:
        wait_for(lambda: workspace.jobs.get(job.id).state is JobState.RUNNING, process)
        workspace.jobs.cancel(job.id)
        process.wait()
    assert workspace.jobs.get(job.id).state is JobState.CANCELLED
    assert workspace.registry.experts() == []


def test_beside_a_server_there_is_a_worker_while_there_is_work_and_again_if_it_is_killed(
    settings, workspace, table, monkeypatch
):
    settings = replace(settings, worker=WorkerSettings(threads=1, lease_s=1))
    monkeypatch.setenv("CHILIAD_WORKER__LEASE_S", "1")
    with WorkerProcess(workspace.jobs, settings) as beside:
        job = workspace.jobs.train("tickets", table, base="tiny", options=LONG)
        wait_for(lambda: checkpoints(workspace))
        first = beside.pid
        subprocess.run(["kill", "-9", str(first)], check=True)
        wait_for(lambda: workspace.jobs.get(job.id).state is JobState.SUCCEEDED)
    assert workspace.jobs.get(job.id).attempts == 2
    assert beside.pid is None


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="this system has no idle class")
def test_the_work_leaves_the_processors_to_others_and_what_locks_the_database_does_not(workspace, monkeypatch):
    seen = {}
    tell = Jobs.tell

    def telling(*arguments):
        seen["telling"] = os.sched_getscheduler(0)
        tell(*arguments)

    @contextmanager
    def look(workspace, job):
        seen["working"] = os.sched_getscheduler(0)
        workspace.reporter.stage("looking", 1, 2)
        yield {}

    def work():  # a thread of its own, which cannot step forward again
        front = step_back()
        Worker(workspace, workspace.jobs, kinds={"look": look}, front=front).run(until_idle=True)

    monkeypatch.setattr(Jobs, "tell", telling)
    job = workspace.jobs.submit("look", {})
    thread = Thread(target=work)
    thread.start()
    thread.join()
    assert texts(workspace, job) == ["Queued.", "Started.", "looking", "Done."]
    assert seen == {"working": os.SCHED_IDLE, "telling": os.SCHED_OTHER}
