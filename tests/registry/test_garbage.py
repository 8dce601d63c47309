"""What gc finds, what it never touches, and that looking changes nothing."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import torch
from safetensors.torch import save

from chiliad.registry.garbage import collect, find_garbage
from chiliad.store import Jobs
from chiliad.store.files import folder_lock, staged_folder, write_atomic
from tests.registry.conftest import FACTS, add

NOW = datetime(2026, 6, 1, tzinfo=UTC)
HASH = {letter: letter * 64 for letter in "abcd"}


@pytest.fixture
def found(registry):
    return lambda keep=1: find_garbage(registry, now=NOW, keep=keep)


def freeze(workspace, letter, *, age=timedelta(days=1)):
    """A dataset's folder as `chiliad.data` names it."""
    folder = workspace / "datasets" / HASH[letter][:12]
    write_atomic(folder / "dataset.json", f'{{"hash": "{HASH[letter]}"}}')
    made = (NOW - age).timestamp()
    os.utime(folder, (made, made))
    return folder


def stop(workspace, run, *, age, identity="abc"):
    """What a training that was stopped leaves behind."""
    path = workspace / "runs" / run / "checkpoint.safetensors"
    write_atomic(path, save({"best": torch.zeros(1000)}, {"identity": identity, "progress": "{}"}))
    write_atomic(path.parent / ".lock", b"")
    made = (NOW - age).timestamp()
    os.utime(path, (made, made))
    return path.parent


def test_an_empty_workspace_has_no_garbage(found):
    assert not found()


def test_versions_that_were_live_or_are_new_stay(registry, found):
    for seed in range(6):
        add(registry, "tickets", seed=seed)
    registry.promote("tickets", 2)
    registry.promote("tickets", 4, force=True)
    assert [str(ref) for ref in found(keep=1).versions] == ["tickets@1", "tickets@3", "tickets@5"]
    assert [str(ref) for ref in found(keep=2).versions] == ["tickets@1", "tickets@3"]
    assert found(keep=6).versions == ()


def test_finding_changes_nothing_and_collecting_removes(registry, workspace, found):
    for seed in range(3):
        add(registry, "tickets", seed=seed)
    registry.promote("tickets", 3)
    before = sorted(workspace.rglob("*"))
    garbage = found()
    assert sorted(workspace.rglob("*")) == before
    assert garbage.bytes == sum(
        path.stat().st_size for number in "12" for path in (workspace / "experts" / "tickets" / number).iterdir()
    )
    collect(registry, garbage, now=NOW)
    assert [version.number for version in registry.versions("tickets")] == [3]
    assert not found()


def test_what_became_live_after_the_look_stays(registry, found):
    for seed in range(3):
        add(registry, "tickets", seed=seed)
    garbage = found()
    registry.promote("tickets", 1)
    collect(registry, garbage, now=NOW)
    assert [version.number for version in registry.versions("tickets")] == [1, 3]
    assert registry.get("tickets").number == 1


def test_unused_datasets_go_and_used_or_fresh_ones_stay(registry, workspace, found):
    used, unused, training = (freeze(workspace, letter) for letter in "abc")
    fresh = freeze(workspace, "d", age=timedelta(minutes=5))
    add(registry, "tickets", facts=replace(FACTS, dataset_hash=HASH["a"]))
    stop(workspace, f"orders-{training.name}", age=timedelta(days=1))
    registry.reconcile()
    garbage = found()
    assert garbage.datasets == (unused,)
    collect(registry, garbage, now=NOW)
    assert not unused.exists()
    assert all(folder.is_dir() for folder in (used, training, fresh))
    assert registry.datasets().keys() == {used.name, training.name, fresh.name}


def test_a_dataset_of_a_run_that_is_just_starting_stays(registry, workspace, found):
    starting = freeze(workspace, "a")
    with folder_lock(workspace / "runs" / f"tickets-{starting.name}"):
        assert found().datasets == ()
    assert found().datasets == (starting,)


def test_a_dataset_that_a_job_waits_to_be_trained_on_stays(registry, workspace, found):
    waiting = freeze(workspace, "a")
    jobs = Jobs(registry.database)
    job = jobs.submit("train", {"dataset": waiting.name})
    assert found().datasets == ()
    jobs.cancel(job.id)
    assert found().datasets == (waiting,)


def test_a_version_that_clients_call_by_a_name_of_its_own_stays(registry, found):
    named = {"fine_tuned_model": "ft:tiny:us:tickets:1"}
    for training in (named, {}, {}):
        add(registry, "tickets", facts=replace(FACTS, training=training))
    assert [str(ref) for ref in found(keep=1).versions] == ["tickets@2"]


def test_what_a_job_goes_on_with_stays_until_it_has_ended(registry, workspace, found):
    for seed in range(3):
        add(registry, "tickets", seed=seed)
    jobs = Jobs(registry.database)
    train = jobs.submit("train", {"name": "orders", "dataset": HASH["a"], "parent": "tickets@1"})
    grade = jobs.submit("eval_run", {"data_source": {"model": "tickets@2", "rows": [{"n": 1}]}})
    batch = jobs.submit("batch", {})
    runs = [f"batch-{batch.id}", f"orders-{HASH['a'][:12]}-12345678"]
    for run in runs:
        stop(workspace, run, age=timedelta(days=30))
    jobs.pause(train.id)
    assert not found()
    for job in (train, grade, batch):
        jobs.cancel(job.id)
    garbage = found()
    assert [str(ref) for ref in garbage.versions] == ["tickets@1", "tickets@2"]
    assert [run.name for run in garbage.runs] == runs


def test_what_a_job_wants_that_came_after_the_look_stays(registry, workspace, found):
    dataset, unused = freeze(workspace, "a"), freeze(workspace, "b")
    run = stop(workspace, f"orders-{dataset.name}-12345678", age=timedelta(days=30))
    for seed in range(2):
        add(registry, "tickets", seed=seed)
    garbage = found()
    assert garbage.datasets == (dataset, unused)
    Jobs(registry.database).submit("train", {"name": "orders", "dataset": HASH["a"], "parent": "tickets@1"})
    collect(registry, garbage, now=NOW)
    assert [version.number for version in registry.versions("tickets")] == [1, 2]
    assert run.is_dir()
    assert dataset.is_dir()
    assert not unused.exists()


def test_a_dataset_goes_with_the_last_version_that_used_it(registry, workspace, found):
    folder = freeze(workspace, "a")
    add(registry, "tickets", facts=replace(FACTS, dataset_hash=HASH["a"]))
    add(registry, "tickets", seed=1)
    assert found().datasets == (folder,)


def test_leftovers_of_killed_writers_go_and_live_ones_stay(registry, workspace, found):
    add(registry, "tickets")
    code = """
import os, sys
from pathlib import Path
from chiliad.store.files import staged_folder
stages = [staged_folder(Path(place)) for place in sys.argv[1:]]
for stage in stages:
    stage.__enter__()
os.kill(os.getpid(), 9)
"""
    places = [
        workspace / "experts" / "tickets" / "7",
        *(workspace / one / "x" for one in ("datasets", "databases", "runs")),
    ]
    subprocess.run([sys.executable, "-c", code, *map(str, places)], timeout=120, check=False)
    with staged_folder(workspace / "experts" / "tickets" / "8") as writing:
        garbage = found()
        assert sorted(stage.parent.name for stage in garbage.stages) == ["databases", "datasets", "runs", "tickets"]
        collect(registry, garbage, now=NOW)
        assert writing.is_dir()
    assert [path.name for path in workspace.rglob(".staging-*")] == []


def test_a_stopped_training_can_be_continued_for_two_weeks(registry, workspace, found):
    given_up = stop(workspace, "tickets-111111111111", age=timedelta(days=15))
    stop(workspace, "tickets-222222222222", age=timedelta(days=13))
    garbage = found()
    assert garbage.runs == (given_up,)
    assert garbage.bytes == sum(path.stat().st_size for path in given_up.iterdir())
    collect(registry, garbage, now=NOW)
    assert [run.name for run in (workspace / "runs").iterdir()] == ["tickets-222222222222"]


def test_what_is_left_of_a_training_that_became_a_version_goes_soon(registry, workspace, found):
    add(registry, "tickets", facts=replace(FACTS, training={"run": "abc"}))
    stop(workspace, "tickets-222222222222", age=timedelta(minutes=50))  # killed just now, in its evaluation
    left = stop(workspace, "tickets-111111111111", age=timedelta(hours=2))
    assert found().runs == (left,)


def test_the_empty_folder_of_a_finished_training_goes(registry, workspace, found):
    with folder_lock(workspace / "runs" / "tickets-111111111111"):
        assert found().runs == ()
    garbage = found()
    assert len(garbage.runs) == 1
    collect(registry, garbage, now=NOW)
    assert not list((workspace / "runs").iterdir())


def test_a_training_that_is_continued_after_the_look_keeps_its_checkpoint(registry, workspace, found):
    run = stop(workspace, "tickets-111111111111", age=timedelta(days=30))
    garbage = found()
    with folder_lock(run):
        collect(registry, garbage, now=NOW)
        assert (run / "checkpoint.safetensors").is_file()
        assert found().runs == ()
        os.utime(run / "checkpoint.safetensors", (NOW.timestamp(), NOW.timestamp()))
    collect(registry, garbage, now=NOW)
    assert (run / "checkpoint.safetensors").is_file()


def test_a_dataset_goes_with_the_training_that_was_given_up(registry, workspace, found):
    folder = freeze(workspace, "a")
    run = stop(workspace, f"tickets-{folder.name}", age=timedelta(days=30))
    assert found().datasets == (folder,)
    collect(registry, found(), now=NOW)
    assert not folder.exists()
    assert not run.exists()


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, b"\x02\x00\x00\x00\x00\x00\x00\x00[]"])
def test_a_checkpoint_that_cannot_be_read_is_like_one_of_a_stopped_training(workspace, found, content):
    run = stop(workspace, "tickets-111111111111", age=timedelta(days=1))
    (run / "checkpoint.safetensors").write_bytes(content)
    assert found().runs == ()
