"""What a workspace no longer needs: versions that nobody can reach, unused datasets, and what killed writers left.

Finding and collecting are two steps, so that people can look before anything goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from chiliad.errors import ExpertNotFound, RegistryError
from chiliad.registry.ids import ExpertRef
from chiliad.registry.registry import Registry
from chiliad.store import Jobs
from chiliad.store.files import LOCK_NAME, is_locked, orphaned_stages, remove_folder, remove_stage

KEEP_DEFAULT = 3
DATASET_AGE_MIN = timedelta(hours=1)
"""a training that has just frozen its dataset has recorded nothing else yet"""


@dataclass(frozen=True)
class Garbage:
    versions: tuple[ExpertRef, ...]
    datasets: tuple[Path, ...]
    stages: tuple[Path, ...]
    bytes: int

    def __bool__(self) -> bool:
        return bool(self.versions or self.datasets or self.stages)


def find_garbage(registry: Registry, *, now: datetime, keep: int = KEEP_DEFAULT) -> Garbage:
    """Find what can go. A version stays if it is or was live or is among the newest `keep` of its expert."""
    versions = tuple(ref for expert in registry.experts() for ref in _unreachable(registry, expert.name, keep))
    datasets = tuple(_unused_datasets(registry, frozenset(versions), now))
    stages = tuple(stage for folder in _written_folders(registry.workspace) for stage in orphaned_stages(folder))
    paths = (*(registry.folder(ref) for ref in versions), *datasets, *stages)
    return Garbage(versions, datasets, stages, sum(_bytes(path) for path in paths))


def collect(registry: Registry, garbage: Garbage) -> None:
    """Remove what was found. What became live or went meanwhile is left alone."""
    for ref in garbage.versions:
        try:
            registry.delete(ref)
        except (ExpertNotFound, RegistryError):
            continue
    for folder in garbage.datasets:
        if folder.is_dir():
            remove_folder(folder)
    for stage in garbage.stages:
        remove_stage(stage)
    registry.reconcile()


def _unreachable(registry: Registry, name: str, keep: int) -> list[ExpertRef]:
    ever_live = {step.version for step in registry.history(name)}
    versions = registry.versions(name)
    old = versions[: max(len(versions) - keep, 0)]
    return [version.ref for version in old if version.number not in ever_live]


def _unused_datasets(registry: Registry, leaving: frozenset[ExpertRef], now: datetime) -> list[Path]:
    """Datasets that no staying version, no open job and no unfinished run names, and that are not brand-new."""
    names = [folder.name for folder in _folders(registry.workspace / "runs") if _is_unfinished(folder)]
    names += [document.get("dataset", "") for document in Jobs(registry.database).open_documents()]
    for expert in registry.experts():
        names += [v.dataset_hash or "" for v in registry.versions(expert.name) if v.ref not in leaving]
    newest = (now - DATASET_AGE_MIN).timestamp()
    return [
        folder
        for folder in _folders(registry.datasets_root)
        if folder.stat().st_mtime < newest and not any(folder.name in name for name in names)
    ]


def _written_folders(workspace: Path) -> list[Path]:
    """Every folder of a workspace that files or folders are staged in."""
    experts = _folders(workspace / "experts")
    versions = [version for expert in experts for version in _folders(expert)]
    runs = _folders(workspace / "runs")
    return [workspace, workspace / "experts", *experts, *versions, workspace / "datasets", workspace / "runs", *runs]


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")) if root.is_dir() else []


def _is_unfinished(run: Path) -> bool:
    """It trains now, or holds a checkpoint to continue from."""
    return is_locked(run) or any(entry.name != LOCK_NAME for entry in run.iterdir())


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())
