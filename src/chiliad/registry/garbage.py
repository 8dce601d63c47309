"""What a workspace no longer needs: versions that nobody can reach, unused datasets, abandoned trainings, and what
killed writers left.

Finding and collecting are two steps, so that people can look before anything goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from chiliad.errors import RegistryError, StoreError
from chiliad.registry.fine_tuned import RECORDED_AS
from chiliad.registry.ids import ExpertRef
from chiliad.registry.registry import Registry
from chiliad.registry.runs import batch_run, training_run
from chiliad.store import Jobs
from chiliad.store.files import (
    LOCK_NAME,
    folder_lock,
    is_locked,
    orphaned_stages,
    remove_folder,
    remove_stage,
)

KEEP_DEFAULT = 3
HEADER_BYTES_MAX = 1 << 20
DATASET_AGE_MIN = timedelta(hours=1)
"""a training that has just frozen its dataset has recorded nothing else yet"""
FINISHED_RUN_AGE_MIN = timedelta(hours=1)
"""a training that was stopped in its evaluation has written its version; the same command may still finish it"""
STOPPED_RUN_AGE_MIN = timedelta(days=14)
"""a training that nobody has continued for so long is given up"""


@dataclass(frozen=True)
class Garbage:
    versions: tuple[ExpertRef, ...]
    datasets: tuple[Path, ...]
    runs: tuple[Path, ...]
    stages: tuple[Path, ...]
    bytes: int

    def __bool__(self) -> bool:
        return bool(self.versions or self.datasets or self.runs or self.stages)


def find_garbage(registry: Registry, *, now: datetime, keep: int = KEEP_DEFAULT) -> Garbage:
    """Find what can go.

    A version stays if it is or was live, has a name of its own as a fine-tuned model, or is among the newest `keep` of its
    expert; a run if a process works on it, or if it left a checkpoint that is not FINISHED_RUN_AGE_MIN or
    STOPPED_RUN_AGE_MIN old. What a job that has not ended goes on with stays in any case.
    """
    claims = _Claims.of(registry)
    old = (ref for expert in registry.experts() for ref in _unreachable(registry, expert.name, keep))
    versions = tuple(ref for ref in old if str(ref) not in claims.names)
    written = _written_runs(registry)
    runs = tuple(run for run in _folders(registry.workspace / "runs") if _is_abandoned(run, written, claims, now))
    datasets = tuple(_unused_datasets(registry, claims, now, without=frozenset(versions), abandoned=frozenset(runs)))
    stages = tuple(stage for folder in _written_folders(registry.workspace) for stage in orphaned_stages(folder))
    paths = (*(registry.folder(ref) for ref in versions), *datasets, *runs, *stages)
    return Garbage(versions, datasets, runs, stages, sum(_bytes(path) for path in paths))


def collect(registry: Registry, garbage: Garbage, *, now: datetime) -> None:
    """Remove what was found. What became live, is wanted or worked on again, or went meanwhile is left alone."""
    claims = _Claims.of(registry)
    for ref in garbage.versions:
        if str(ref) not in claims.names:
            with suppress(RegistryError):
                registry.delete(ref)
    written = _written_runs(registry)
    for run in garbage.runs:
        with suppress(StoreError), folder_lock(run, wait=False, create=False):
            if _is_left(run, written, claims, now):
                remove_folder(run)
    for folder in {*garbage.datasets}.intersection(_unused_datasets(registry, claims, now)):
        remove_folder(folder)
    for stage in garbage.stages:
        remove_stage(stage)
    registry.reconcile()


@dataclass(frozen=True)
class _Claims:
    """What jobs that have not ended go on with. names: every text of what they are to do, versions among them; runs: what
    the names of theirs begin with."""

    names: frozenset[str]
    datasets: frozenset[str]
    runs: tuple[str, ...]

    @classmethod
    def of(cls, registry: Registry) -> Self:
        jobs, folder = Jobs(registry.database).still_open(), registry.workspace
        trained = [(job.document.get("name", ""), job.document["dataset"]) for job in jobs if "dataset" in job.document]
        batches = (batch_run(folder, job.id) for job in jobs)
        trainings = (training_run(folder, name, dataset, settings="") for name, dataset in trained)
        return cls(
            names=frozenset(text for job in jobs for text in _texts(job.document)),
            datasets=frozenset(dataset for _, dataset in trained),
            runs=tuple(run.name for run in (*batches, *trainings)),
        )


def _texts(value: Any) -> Iterator[str]:
    """In a JSON value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(one)


def _unreachable(registry: Registry, name: str, keep: int) -> list[ExpertRef]:
    ever_live = {step.version for step in registry.history(name)}
    versions = registry.versions(name)
    old = versions[: max(len(versions) - keep, 0)]
    return [version.ref for version in old if version.number not in ever_live and RECORDED_AS not in version.training]


def _unused_datasets(
    registry: Registry,
    claims: _Claims,
    now: datetime,
    *,
    without: frozenset[ExpertRef] = frozenset(),
    abandoned: frozenset[Path] = frozenset(),
) -> list[Path]:
    """Datasets that no staying version, no open job and no unfinished run names, and that are not brand-new.

    without, abandoned: versions and runs that do not stay.
    """
    runs = [run for run in _folders(registry.workspace / "runs") if run not in abandoned]
    names = [*claims.datasets, *(run.name for run in runs if _is_unfinished(run))]
    for expert in registry.experts():
        names += [v.dataset_hash or "" for v in registry.versions(expert.name) if v.ref not in without]
    newest = (now - DATASET_AGE_MIN).timestamp()
    return [
        folder
        for folder in _folders(registry.datasets_root)
        if _changed_s(folder) < newest and not any(folder.name in name for name in names)
    ]


def _written_runs(registry: Registry) -> frozenset[str]:
    """The identities of the trainings that became versions."""
    versions = (version for expert in registry.experts() for version in registry.versions(expert.name))
    return frozenset(str(version.training["run"]) for version in versions if "run" in version.training)


def _is_abandoned(run: Path, written: frozenset[str], claims: _Claims, now: datetime) -> bool:
    return not is_locked(run) and _is_left(run, written, claims, now)


def _is_left(run: Path, written: frozenset[str], claims: _Claims, now: datetime) -> bool:
    """Nobody will continue this run, which no other process works on at this moment."""
    if run.name.startswith(claims.runs):
        return False
    files = _files(run)
    finished = all(_identity(path) in written for path in files)
    age_min = FINISHED_RUN_AGE_MIN if finished else STOPPED_RUN_AGE_MIN
    return not files or max(map(_changed_s, files)) < (now - age_min).timestamp()


def _identity(checkpoint: Path) -> str | None:
    """Which training a checkpoint is of: the header of a safetensors file says so. None for any other file."""
    try:
        with checkpoint.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, HEADER_BYTES_MAX)))
        identity = header["__metadata__"]["identity"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(identity)


def _written_folders(workspace: Path) -> list[Path]:
    """Every folder of a workspace that files or folders are staged in."""
    experts = _folders(workspace / "experts")
    versions = [version for expert in experts for version in _folders(expert)]
    runs = _folders(workspace / "runs")
    return [
        workspace,
        workspace / "experts",
        *experts,
        *versions,
        workspace / "datasets",
        workspace / "databases",
        workspace / "basis",
        workspace / "runs",
        *runs,
    ]


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in _entries(root) if path.is_dir() and not path.name.startswith("."))


def _files(run: Path) -> list[Path]:
    """What a run's folder holds besides its lock."""
    return [path for path in _entries(run) if path.name != LOCK_NAME]


def _entries(folder: Path) -> list[Path]:
    """Nothing if the folder is not there, or not there any more."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_unfinished(run: Path) -> bool:
    """It trains now, or holds a checkpoint to continue from."""
    return is_locked(run) or bool(_files(run))


def _changed_s(path: Path) -> float:
    """When a file or folder was last changed; what went meanwhile counts as changed just now."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    total = 0
    for file in files:
        with suppress(FileNotFoundError):  # another process cleans up too
            total += file.stat().st_size if file.is_file() else 0
    return total
