"""Files that clients send, and those that jobs write for them.

A file is a folder `<root>/<id>/` with its bytes under a name of our own, and a row with everything else: a client's name
for it never becomes a path. It is there once its row is; a folder without a row is what a killed writer left.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from chiliad.errors import FileMissing, FileRefused
from chiliad.store.backend import Writers
from chiliad.store.database import Database
from chiliad.store.files import orphaned_stages, remove_folder, remove_stage, staged_folder
from chiliad.store.paging import PAGE_MAX, page
from chiliad.store.scope import Scoped
from chiliad.store.tables import files

NAME_LENGTH_MAX = 255
ORPHAN_AGE_S_MIN = 3600.0
"""a folder that is older than this and has no row will never get one"""

_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f]")


class Purpose(StrEnum):
    FINE_TUNE = "fine-tune"
    EVALS = "evals"
    BATCH = "batch"
    FINE_TUNE_RESULTS = "fine-tune-results"
    BATCH_OUTPUT = "batch_output"


@dataclass(frozen=True)
class UploadedFile:
    """created_s, expires_s: seconds since 1970"""

    id: str
    project: str
    name: str
    purpose: Purpose
    bytes: int
    sha256: str
    created_s: float
    expires_s: float | None


class Uploads(Scoped):
    """Safe to share between threads and processes. `clock` gives seconds since 1970."""

    def __init__(self, database: Database, root: Path, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._root = root
        self._clock = clock

    def add(
        self,
        name: str,
        purpose: Purpose,
        chunks: Iterable[bytes],
        *,
        bytes_max: int | None = None,
        expires_after_s: int | None = None,
        check: Callable[[Path], object] | None = None,
        file_id: str | None = None,
    ) -> UploadedFile:
        """Keep what `chunks` give; it is there, whole, when this returns.

        `check` looks at the bytes before they count, and raises what is wrong with them. With the `file_id` of a file
        that is there it is that file: a job that is done twice writes once. Raises FileRefused and StoreError.
        """
        _check_name(name)
        self._sweep()
        file_id = file_id or f"file-{secrets.token_hex(12)}"
        known = self._known(file_id)
        if known is not None:
            return known
        remove_folder(self._root / file_id)
        with staged_folder(self._root / file_id) as stage:
            path = stage / _content(file_id, purpose)
            size, digest = _written(path, chunks, bytes_max)
            if check is not None:
                check(path)
        now = self._clock()
        expires_s = None if expires_after_s is None else now + expires_after_s
        file = UploadedFile(file_id, self._scope.project, name, purpose, size, digest, now, expires_s)
        with self._database.write(Writers.FILES) as connection:
            connection.execute(files.insert().values(**vars(file)))
        return file

    def get(self, file_id: str) -> UploadedFile:
        """Raises FileMissing."""
        with self._database.read() as connection:
            return _file(self._find(connection, file_id))

    def path(self, file: UploadedFile) -> Path:
        """Where its bytes are, under a name with the ending of its kind. Raises FileMissing if somebody removed them."""
        path = self._root / file.id / _content(file.id, file.purpose)
        if not path.is_file():
            raise FileMissing(f"The bytes of the file {file.id!r} are gone.", fix="Upload it again.")
        return path

    def page(
        self,
        *,
        after: str | None = None,
        limit: int = PAGE_MAX,
        newest_first: bool = True,
        purpose: str | None = None,
    ) -> list[UploadedFile]:
        """Files in the order of their making, those beyond `after`. Raises FileMissing for an unknown `after`."""
        query = select(files).where(
            self._scope.covers(files), (files.c.expires_s > self._clock()) | files.c.expires_s.is_(None)
        )
        if purpose is not None:
            query = query.where(files.c.purpose == purpose)
        with self._database.read() as connection:
            last = None if after is None else self._find(connection, after)
            query = page(query, files, after=last, limit=limit, newest_first=newest_first)
            return [_file(row) for row in connection.execute(query)]

    def delete(self, file_id: str) -> None:
        """Raises FileMissing."""
        with self._database.write(Writers.FILES) as connection:
            self._find(connection, file_id)
            connection.execute(files.delete().where(files.c.id == file_id))
        remove_folder(self._root / file_id)

    def _known(self, file_id: str) -> UploadedFile | None:
        with self._database.read() as connection:
            row = connection.execute(select(files).where(files.c.id == file_id)).one_or_none()
        return _file(row) if row else None

    def _find(self, connection: Connection, file_id: str) -> Row[Any]:
        query = select(files).where(files.c.id == file_id, self._scope.covers(files))
        row = connection.execute(query).one_or_none()
        if row is None or (row.expires_s is not None and row.expires_s <= self._clock()):
            raise FileMissing(f"There is no file {file_id!r}.", fix="GET /v1/files lists the files that there are.")
        return row

    def _sweep(self) -> None:
        """Remove what has expired and what killed writers left."""
        with self._database.write(Writers.FILES) as connection:
            expired = connection.scalars(select(files.c.id).where(files.c.expires_s <= self._clock())).all()
            connection.execute(files.delete().where(files.c.id.in_(expired)))
            kept = set(connection.scalars(select(files.c.id)))
        for file_id in expired:
            remove_folder(self._root / file_id)
        for stage in orphaned_stages(self._root):
            remove_stage(stage)
        oldest = time.time() - ORPHAN_AGE_S_MIN
        for folder in self._root.iterdir() if self._root.is_dir() else ():
            if folder.name.startswith("file-") and folder.name not in kept and folder.stat().st_mtime < oldest:
                remove_folder(folder)


def _check_name(name: str) -> None:
    if not name or len(name) > NAME_LENGTH_MAX or name in (".", "..") or _UNSAFE.search(name):
        raise FileRefused(
            f"{name[:60]!r} cannot be the name of a file.",
            fix=f"Use up to {NAME_LENGTH_MAX} characters without slashes and control characters, such as train.jsonl.",
        )


def _written(path: Path, chunks: Iterable[bytes], bytes_max: int | None) -> tuple[int, str]:
    """Write the chunks; their size and SHA-256."""
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        for chunk in chunks:
            size += len(chunk)
            if bytes_max is not None and size > bytes_max:
                raise FileRefused(f"The file is larger than {bytes_max} bytes.", fix="Send it in several parts.")
            digest.update(chunk)
            file.write(chunk)
    return size, digest.hexdigest()


def _content(file_id: str, purpose: Purpose) -> str:
    return f"{file_id}.csv" if purpose is Purpose.FINE_TUNE_RESULTS else f"{file_id}.jsonl"


def _file(row: Row[Any]) -> UploadedFile:
    return UploadedFile(**{**row._mapping, "purpose": Purpose(row.purpose)})
