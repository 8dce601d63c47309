"""The base models on this machine: pulled once, converted, kept in the cache, checked when opened."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chiliad.base.catalog import CATALOG
from chiliad.base.checkpoint import OnProgress, write_checkpoint
from chiliad.base.fingerprint import fingerprint
from chiliad.base.from_gguf import SOURCE_GGUF
from chiliad.base.quantised import ReadQuantised, quantised_reader
from chiliad.base.sources import Material, Source, find_source
from chiliad.base.template import ChatTemplate
from chiliad.base.terms import require_accepted, terms_files, terms_of
from chiliad.base.tokenizer import Tokenizer
from chiliad.errors import BaseModelError, BaseNotFound, BrokenBase
from chiliad.store.files import folder_lock, orphaned_stages, remove_folder, staged_folder

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_RECORDED = ("fingerprint", "architecture", "licence", "source", "note")
_PULL_AGAIN = "Run `chiliad base remove {0}` and pull it again."


@dataclass(frozen=True)
class Base:
    """A base model, ready to load. `fingerprint` says which adapters fit it."""

    id: str
    path: Path
    fingerprint: str
    architecture: str
    config: dict[str, Any]
    licence: str
    source: str
    note: str

    @property
    def weights_path(self) -> Path:
        return self.path / "model.safetensors"

    def quantised(self) -> ReadQuantised:
        """The matrices in the codes of the file that this base was converted from; reading them may raise `BrokenBase`."""
        source = self.path / SOURCE_GGUF
        return quantised_reader(source) if source.is_file() else lambda _: None

    @property
    def terms(self) -> tuple[Path, ...]:
        """The files of its licence's terms, which go with every export of an expert; most bases have none."""
        return terms_files(self.path)

    def tokenizer(self) -> Tokenizer:
        return Tokenizer(self.path / "tokenizer.json")

    def chat_template(self, tokenizer: Tokenizer | None = None) -> ChatTemplate:
        """tokenizer: this base's, where it has been read already"""
        tokenizer = tokenizer or self.tokenizer()
        source = (self.path / "chat_template.jinja").read_bytes().decode("utf-8")
        return ChatTemplate(source, bos_token=tokenizer.bos_token, eos_token=tokenizer.eos_token)


class BaseStore:
    """The folder `cache_dir/bases`. Several processes may use it at once; a base folder is whole or absent."""

    def __init__(self, cache_dir: Path) -> None:
        self._cache_dir = cache_dir
        self._root = cache_dir / "bases"

    def pull(
        self,
        source: str,
        *,
        name: str | None = None,
        accept_licence: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Base:
        """Fetch and convert a base model; one that is here already, from the same source, is returned as it is.

        `source` is a known name, a GGUF file, a model folder or a Hugging Face id. `on_progress(stage, done, total)` is
        called as work proceeds; `total` 0 means unknown. Raises `BaseNotFound`, `BrokenBase`, `StoreError`, or
        `LicenceNotAccepted` where there are terms and `accept_licence` is not said; nothing half-written stays behind.
        """
        found = find_source(source, self._cache_dir)
        base_id = _checked_id(name or found.default_id)
        if base_id in self.ids():
            return self._already_here(base_id, found)
        require_accepted(source, accepted=accept_licence)
        with folder_lock(self._cache_dir / "locks" / base_id):
            if base_id in self.ids():  # another process was faster
                return self._already_here(base_id, found)
            self._clear_orphans()
            with staged_folder(self._root / base_id) as stage:
                self._build(base_id, found, stage, on_progress or _silent)
        return self.get(base_id)

    def ids(self) -> tuple[str, ...]:
        """The ids of all bases on this machine, damaged ones included."""
        folders = sorted(self._root.iterdir()) if self._root.is_dir() else []
        return tuple(folder.name for folder in folders if _ID.fullmatch(folder.name) and folder.is_dir())

    def list(self) -> list[Base]:
        """Every base that can be used, by id."""
        bases = []
        for base_id in self.ids():
            with suppress(BrokenBase):
                bases.append(self.get(base_id))
        return bases

    def get(self, base_id: str, *, verify: bool = False) -> Base:
        """Raises `BaseNotFound`, or `BrokenBase` when files are damaged (with `verify`, every byte is checked)."""
        folder = self._root / base_id
        if base_id not in self.ids():
            raise BaseNotFound(
                f"The base model {base_id} is not on this machine.",
                fix=f"Run `chiliad base pull {base_id if base_id in CATALOG else 'SOURCE --name ' + base_id}`.",
            )
        record = _read_json(folder / "base.json")
        base = _to_base(folder, record)
        weights_bytes = base.weights_path.stat().st_size if base.weights_path.is_file() else None
        if weights_bytes != record.get("weights_bytes") or (
            verify and fingerprint(folder, base.config) != base.fingerprint
        ):
            raise BrokenBase(
                f"The files of base model {base_id} are not the ones that were pulled.", fix=_PULL_AGAIN.format(base_id)
            )
        return base

    def terms(self, base_id: str) -> tuple[Path, ...]:
        """What has to go with an export of an expert on this base. Raises `BaseNotFound` if there is such, and not here."""
        if base_id in self.ids():
            return terms_files(self._root / base_id)
        return self.get(base_id).terms if terms_of(base_id) else ()

    def remove(self, base_id: str) -> None:
        """Delete a base model from this machine. Raises `BaseNotFound`."""
        with folder_lock(self._cache_dir / "locks" / _checked_id(base_id)):
            if base_id not in self.ids():
                raise BaseNotFound(f"The base model {base_id} is not on this machine.", fix="See `chiliad base list`.")
            remove_folder(self._root / base_id)

    def _clear_orphans(self) -> None:
        """What killed pulls left behind is hundreds of megabytes that nobody else would look for."""
        for parent in (self._root, self._cache_dir / "wheels"):
            for orphan in orphaned_stages(parent):
                shutil.rmtree(orphan, ignore_errors=True)

    def _already_here(self, base_id: str, found: Source) -> Base:
        base = self.get(base_id)
        if base_id not in CATALOG and base.source != found.label:
            raise BaseModelError(
                f"The name {base_id} is taken by a base model from {base.source}.",
                fix=f"Choose another with --name, or run `chiliad base remove {base_id}` first.",
            )
        if not found.is_still(_read_json(base.path / "base.json").get("sha256", "")):
            raise BaseModelError(
                f"{found.label} is not, or no longer, what was pulled as {base_id}.",
                fix=f"Pull it under another --name, or run `chiliad base remove {base_id}` first.",
            )
        return base

    def _build(self, base_id: str, found: Source, stage: Path, on_progress: OnProgress) -> None:
        material = found.fetch(stage, on_progress)
        if base_id in CATALOG and material.sha256 != CATALOG[base_id].gguf_sha256:
            raise BaseModelError(
                f"{base_id} is the name of one particular file, and {found.label} is not that file.",
                fix="Choose another name with --name.",
            )
        write_checkpoint(material.checkpoint, stage, on_progress)
        on_progress("fingerprint", 0, 0)
        record = _record(base_id, found, material, stage)
        (stage / "base.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _record(base_id: str, found: Source, material: Material, stage: Path) -> dict[str, Any]:
    config = material.checkpoint.config
    return {
        "id": base_id,
        "source": found.label,
        "sha256": material.sha256,
        "licence": material.licence,
        "note": material.note,
        "architecture": config["model_type"],
        "fingerprint": fingerprint(stage, config),
        "weights_bytes": (stage / "model.safetensors").stat().st_size,
    }


def _to_base(folder: Path, record: dict[str, Any]) -> Base:
    try:
        fields = {key: record[key] for key in _RECORDED}
    except KeyError as error:
        raise BrokenBase(f"base.json of {folder.name} lacks {error}.", fix=_PULL_AGAIN.format(folder.name)) from None
    return Base(id=folder.name, path=folder, config=_read_json(folder / "config.json"), **fields)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BrokenBase(
            f"{path.name} of base model {path.parent.name} cannot be read ({error}).",
            fix=_PULL_AGAIN.format(path.parent.name),
        ) from None
    if not isinstance(content, dict):
        raise BrokenBase(
            f"{path.name} of base model {path.parent.name} holds no object.", fix=_PULL_AGAIN.format(path.parent.name)
        )
    return content


def _checked_id(name: str) -> str:
    if _ID.fullmatch(name) is None:
        raise BaseModelError(
            f"{name!r} cannot be the name of a base model.",
            fix="Use lower-case letters, digits, dots, hyphens and underscores.",
        )
    return name


def _silent(stage: str, done: int, total: int) -> None:
    """The progress report of a caller that wants none."""
