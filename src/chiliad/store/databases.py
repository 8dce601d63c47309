"""The SQLite files of a workspace that may be queried: those in one folder, under plain names, and no others."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chiliad.config import CopilotSettings
from chiliad.errors import FileMissing, FileRefused
from chiliad.store.files import explain_disk_errors, working_folder
from chiliad.store.read_only import ReadOnlyFile

ENDINGS = (".db", ".sqlite", ".sqlite3")
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$"


@dataclass(frozen=True)
class DatabaseFile:
    name: str
    bytes: int


class Databases:
    """A file is there whole or not at all. Links are not followed. Safe to share between threads and processes."""

    def __init__(self, root: Path, limits: CopilotSettings) -> None:
        self._root = root
        self._limits = limits

    def all(self) -> list[DatabaseFile]:
        """By name."""
        with explain_disk_errors(self._root):
            found = self._root.iterdir() if self._root.is_dir() else ()
            return sorted(
                (DatabaseFile(path.name, path.stat().st_size) for path in found if _is_one(path)),
                key=lambda file: file.name,
            )

    def open(self, name: str) -> ReadOnlyFile:
        """Raises FileMissing."""
        return ReadOnlyFile(self._path(name), self._limits)

    def add(self, name: str, chunks: Iterable[bytes], *, bytes_max: int) -> DatabaseFile:
        """Keep what `chunks` give, if it is a whole SQLite database. Raises FileRefused and StoreError."""
        if not _may_be_called(name):
            raise FileRefused(
                f"{name[:80]!r} cannot be the name of a database.",
                fix=f"Use letters, digits and - _ . and an ending of {', '.join(ENDINGS)}, such as shop.db.",
            )
        with explain_disk_errors(self._root / name), working_folder(self._root) as folder:
            stage = folder / name
            size = _written(stage, chunks, bytes_max)
            ReadOnlyFile(stage, self._limits).check()
            try:
                os.link(stage, self._root / name)
            except FileExistsError:
                raise FileRefused(
                    f"There is a database {name} already.", fix="Remove it first, or use another name."
                ) from None
        return DatabaseFile(name, size)

    def remove(self, name: str) -> None:
        """Raises FileMissing."""
        path = self._path(name)
        with explain_disk_errors(path):
            path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        path = self._root / name
        if not _may_be_called(name) or not _is_one(path):
            raise FileMissing(f"There is no database {name[:80]!r}.", fix="Choose one of those that there are.")
        return path


def _may_be_called(name: str) -> bool:
    return re.fullmatch(NAME_PATTERN, name) is not None and name.endswith(ENDINGS)


def _is_one(path: Path) -> bool:
    return _may_be_called(path.name) and not path.is_symlink() and path.is_file()


def _written(path: Path, chunks: Iterable[bytes], bytes_max: int) -> int:
    size = 0
    with path.open("xb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > bytes_max:
                raise FileRefused(f"The file is larger than {bytes_max} bytes.", fix="Query a part of it.")
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if not size:
        raise FileRefused("The file is empty.", fix="Give a whole SQLite file.")
    return size
