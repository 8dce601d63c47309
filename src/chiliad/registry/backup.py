"""A whole workspace in one file: experts with their cards, datasets, reports, uploaded files, the databases that experts
may be asked about, and every row of Chiliad's own.

It is taken while others train, promote and serve, and comes back into SQLite or PostgreSQL, or not at all. Left out are
base models (they are pulled again), runs that are under way, and what killed writers left.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from chiliad.config import Settings
from chiliad.errors import BrokenBackup, StoreError
from chiliad.registry.registry import Registry
from chiliad.store import Database, sqlite_url
from chiliad.store.archive import ArchiveReader, ArchiveWriter, new_archive, open_archive
from chiliad.store.dump import Load, dump, emptied
from chiliad.store.files import LOCK_NAME, STAGE_PREFIX, folder_lock, remove_folder, staged_folder
from chiliad.store.tables import SCHEMA

FORMAT = 1
ROWS = "database"
FOLDERS = ("experts", "datasets", "reports", "files", "databases", "basis")


@dataclass(frozen=True)
class Summary:
    """What is in a backup."""

    files: int
    bytes: int
    experts: int
    rows: int


def back_up(registry: Registry, file: Path, *, now: datetime) -> Summary:
    """Write `file`, which must not exist; it is there once it is whole. Raises StoreError.

    Each expert is held still only while it is copied: its promotions and deletions wait that long. Rows are read after
    the files, so that no number, comparison or job is older than a version that the file holds.
    """
    facts = {"format": FORMAT, "schema": SCHEMA, "created": now.isoformat(), "experts": 0, "rows": 0}
    with new_archive(file) as archive:
        facts["experts"] = _add_experts(archive, registry.experts_root)
        _add_folder(archive, registry.datasets_root, "datasets")
        _add_folder(archive, registry.workspace / "reports", "reports")
        _add_folder(archive, registry.workspace / "basis", "basis")
        _add_uploads(archive, registry.workspace / "files")
        _add_databases(archive, registry.workspace / "databases")
        facts["rows"] = _add_rows(archive, registry.database)
        archive.finish(facts)
    with open_archive(file) as written:
        return _summary(written)


def restore(file: Path, settings: Settings) -> Summary:
    """Make the workspace of `settings` from a backup: its folder must not exist or be empty, its database hold no rows.

    Everything is checked against the backup's own hashes first. Raises BrokenBackup (cut short, changed, not a backup,
    or made to do harm) and StoreError; there is then no new workspace.
    """
    folder = settings.workspace
    with open_archive(file) as archive:
        _check_facts(archive, file)
        _make_room(folder)
        if settings.database_url is None:
            with staged_folder(folder) as stage, emptied(sqlite_url(stage / "chiliad.db")) as load:
                _unpack(archive, stage, load)
        else:
            _restore_beside(archive, folder, settings.database_url)
        return _summary(archive)


def _restore_beside(archive: ArchiveReader, folder: Path, url: str) -> None:
    """The rows count once the folder is in its place; if they cannot, the folder goes again."""
    placed = False
    try:
        with emptied(url) as load:
            with staged_folder(folder) as stage:
                _unpack(archive, stage, load)
            placed = True
    except BaseException:
        if placed:
            remove_folder(folder)
        raise


def _add_experts(archive: ArchiveWriter, root: Path) -> int:
    return sum(_add_expert(archive, folder) for folder in _entries(root) if folder.is_dir())


def _add_expert(archive: ArchiveWriter, folder: Path) -> bool:
    """Whether it was there: somebody may just have deleted it."""
    try:
        with folder_lock(folder, create=False):
            _add_folder(archive, folder, f"experts/{folder.name}")
    except StoreError:
        if folder.is_dir():
            raise
        return False
    return True


def _add_uploads(archive: ArchiveWriter, root: Path) -> None:
    for folder in _entries(root):
        with suppress(FileNotFoundError):  # its client has just deleted it
            _add_folder(archive, folder, f"files/{folder.name}")


def _add_databases(archive: ArchiveWriter, root: Path) -> None:
    for file in _entries(root):
        with suppress(FileNotFoundError):  # somebody has just removed it
            if file.is_file():
                archive.add_file(f"databases/{file.name}", file)


def _add_folder(archive: ArchiveWriter, folder: Path, name: str) -> None:
    for entry in _entries(folder):
        if entry.is_dir():
            _add_folder(archive, entry, f"{name}/{entry.name}")
        else:
            archive.add_file(f"{name}/{entry.name}", entry)


def _entries(folder: Path) -> Iterator[Path]:
    """Files and folders that are whole; links lead out of the workspace and stay out."""
    if folder.is_dir():
        for entry in sorted(folder.iterdir()):
            if not entry.name.startswith((STAGE_PREFIX, LOCK_NAME)) and not entry.is_symlink():
                yield entry


def _add_rows(archive: ArchiveWriter, database: Database) -> int:
    counted = 0

    def counting(lines: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal counted
        for line in lines:
            counted += 1
            yield line

    with database.read() as connection:
        for table, lines in dump(connection):
            archive.add(f"{ROWS}/{table}.jsonl", counting(lines))
    return counted


def _unpack(archive: ArchiveReader, stage: Path, load: Load) -> None:
    archive.unpack(stage)
    rows = [name for name in archive.members if name.startswith(f"{ROWS}/")]
    load(archive.facts["schema"], {Path(name).stem: stage / name for name in rows})
    shutil.rmtree(stage / ROWS, ignore_errors=True)


def _check_facts(archive: ArchiveReader, file: Path) -> None:
    facts: dict[str, Any] = archive.facts
    counts = [facts.get(name) for name in ("schema", "experts", "rows")]
    if facts.get("format") != FORMAT or not all(isinstance(one, int) and one >= 0 for one in counts):
        raise BrokenBackup(
            f"{file} is not a backup that this version of Chiliad reads.",
            fix="Use the version that wrote it, or newer.",
        )
    strange = [name for name in archive.members if name.split("/")[0] not in (*FOLDERS, ROWS)]
    if strange:
        raise BrokenBackup(f"{file} holds {strange[0]}, which no workspace has.", fix="Take a backup of Chiliad's own.")


def _make_room(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
    if folder.exists() or folder.is_symlink():
        raise StoreError(
            f"{folder} exists already and is not empty.",
            fix="Restore into a new folder (--workspace); nothing is overwritten.",
        )


def _summary(archive: ArchiveReader) -> Summary:
    members = archive.members.values()
    return Summary(len(members), sum(m.bytes for m in members), archive.facts["experts"], archive.facts["rows"])
