"""One file that holds many: a zip archive with a manifest of every member's size and hash.

Archives come from anywhere, so nothing in one is believed: members that the manifest does not list, that would be written
elsewhere, that are links, or that are larger than the manifest says are refused before or while they are read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from chiliad.errors import BrokenArchive, BrokenBackup, StoreError
from chiliad.store.files import STAGE_PREFIX, explain_disk_errors

MANIFEST = "manifest.json"
MANIFEST_BYTES_MAX = 256 << 20
CHUNK_BYTES = 1 << 20
EXPANSION_MAX = 200
"""times that what is unpacked may be larger than the archive"""
EXPANSION_FREE_BYTES = 64 << 20
"""unpacked bytes up to which no expansion is suspicious"""

_PART = re.compile(r"[^/\\:\x00-\x1f\x7f]{1,255}")
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,  # a way of packing that nobody here uses
    RuntimeError,  # encrypted
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)


@dataclass(frozen=True)
class Member:
    bytes: int
    sha256: str


class ArchiveWriter:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members: dict[str, Member] = {}

    def add_file(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            self.add(name, iter(lambda: file.read(CHUNK_BYTES), b""))

    def add(self, name: str, chunks: Iterable[bytes]) -> None:
        digest, size = hashlib.sha256(), 0
        with self._archive.open(name, "w", force_zip64=True) as member:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                member.write(chunk)
        self._members[name] = Member(size, digest.hexdigest())

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write the manifest: `facts` about the whole, and every member."""
        members = {name: asdict(member) for name, member in self._members.items()}
        self._archive.writestr(MANIFEST, json.dumps({**facts, "members": members}, indent=1))


@contextmanager
def new_archive(path: Path, *, level: int = 1) -> Iterator[ArchiveWriter]:
    """An archive that appears at `path`, whole and readable by its owner alone, when the block ends without an exception.

    level: how hard to pack, 1 to 9. Raises StoreError when something is there already or cannot be written.
    """
    with explain_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _refuse_existing(path)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{STAGE_PREFIX}{path.name}-")
        try:
            with os.fdopen(handle, "w+b") as stage:
                with zipfile.ZipFile(stage, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
                    yield ArchiveWriter(archive)
                stage.flush()
                os.fsync(stage.fileno())
            _take_name(path)
            Path(name).replace(path)  # a memory stick has no hard links
        finally:
            Path(name).unlink(missing_ok=True)


def _take_name(path: Path) -> None:
    """Make an empty file there, unless something else has been made meanwhile."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        _refuse_existing(path)


class ArchiveReader:
    """An archive whose manifest has been read and whose members are those that it lists."""

    def __init__(self, archive: zipfile.ZipFile, path: Path, broken: type[BrokenArchive]) -> None:
        self._archive, self._path, self._broken = archive, path, broken
        with _explained(path, broken):
            self.facts = self._manifest()
            self.members = {name: Member(**told) for name, told in self.facts.pop("members").items()}
            self._check()

    def unpack(self, folder: Path) -> None:
        """Write every member below `folder`, which is empty. Raises BrokenArchive if one is not what was packed."""
        for name, member in self.members.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with _explained(self._path, self._broken), self._archive.open(name) as source, target.open("xb") as file:
                if _copied(source, file, member.bytes) != member:
                    raise ValueError(f"{name} is not what was packed")

    def read(self, name: str, bytes_max: int) -> bytes:
        """One member of no more than so many bytes. Raises BrokenArchive."""
        with _explained(self._path, self._broken), self._archive.open(name) as source:
            content = io.BytesIO()
            if _copied(source, content, min(self.members[name].bytes, bytes_max)) != self.members[name]:
                raise ValueError(f"{name} is not what was packed")
            return content.getvalue()

    def _manifest(self) -> dict[str, Any]:
        if self._archive.getinfo(MANIFEST).file_size > MANIFEST_BYTES_MAX:
            raise ValueError("its manifest is too large")
        with self._archive.open(MANIFEST) as file:
            facts: dict[str, Any] = json.loads(file.read(MANIFEST_BYTES_MAX))
        return facts

    def _check(self) -> None:
        infos = [info for info in self._archive.infolist() if info.filename != MANIFEST]
        if sorted(info.filename for info in infos) != sorted(self.members):
            raise ValueError("it holds other files than its manifest says")
        for info in infos:
            _check_name(info.filename)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise ValueError(f"{info.filename} is no plain file")
            if info.file_size != self.members[info.filename].bytes:
                raise ValueError(f"{info.filename} has another size than the manifest says")
        total = sum(member.bytes for member in self.members.values())
        if total > max(EXPANSION_FREE_BYTES, EXPANSION_MAX * self._path.stat().st_size):
            raise ValueError(f"it would unpack to {total / 1e9:.1f} GB")


@contextmanager
def open_archive(path: Path, broken: type[BrokenArchive] = BrokenBackup) -> Iterator[ArchiveReader]:
    """Raises `broken` for what is not an archive, or not a whole and harmless one; StoreError if there is none."""
    if not path.is_file():
        raise StoreError(f"There is no file {path}.", fix=f"Give the file of a {broken.thing}.")
    with _explained(path, broken):
        archive = zipfile.ZipFile(path)
    with archive:
        yield ArchiveReader(archive, path, broken)


def _copied(source: IO[bytes], target: IO[bytes], bytes_max: int) -> Member:
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        size += len(chunk)
        if size > bytes_max:
            raise ValueError("a file is larger than the manifest says")
        digest.update(chunk)
        target.write(chunk)
    return Member(size, digest.hexdigest())


def _check_name(name: str) -> None:
    parts = name.split("/")
    if len(name) > 1024 or any(part in (".", "..") or not _PART.fullmatch(part) for part in parts):
        raise ValueError(f"it would write to {name!r}")


@contextmanager
def _explained(path: Path, broken: type[BrokenArchive]) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise broken(
            f"{path} is not a whole {broken.thing}: {error}.", fix="Take another copy of it; nothing was changed."
        ) from error


def _refuse_existing(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise StoreError(f"{path} exists already.", fix="Give a new name; nothing is overwritten.")
