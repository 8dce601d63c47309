"""The base models on this machine: pulled once, converted, kept in the cache, checked when opened."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chiliad.base.catalog import CATALOG
from chiliad.base.checkpoint import OnProgress, write_checkpoint
from chiliad.base.fingerprint import fingerprint
from chiliad.base.sources import Material, Source, find_source
from chiliad.base.template import ChatTemplate
from chiliad.base.tokenizer import Tokenizer
from chiliad.errors import BaseNotFound, BrokenBase
from chiliad.store.files import folder_lock, remove_folder, staged_folder

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
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

    def tokenizer(self) -> Tokenizer:
        return Tokenizer(self.path / "tokenizer.json")

    def chat_template(self) -> ChatTemplate:
        tokenizer = self.tokenizer()
        source = (self.path / "chat_template.jinja").read_bytes().decode("utf-8")
        return ChatTemplate(source, bos_token=tokenizer.bos_token, eos_token=tokenizer.eos_token)


class BaseStore:
    """The folder `cache_dir/bases`. Several processes may use it at once; a base folder is whole or absent."""

    def __init__(self, cache_dir: Path) -> None:
        self._cache_dir = cache_dir
        self._root = cache_dir / "bases"

    def pull(self, source: str, *, name: str | None = None, on_progress: OnProgress | None = None) -> Base:
        """Fetch and convert a base model; one that is here already, from the same source, is returned as it is.

        `source` is a known name, a GGUF file, a model folder or a Hugging Face id. `on_progress(stage, done, total)` is
        called as work proceeds; `total` 0 means unknown. Raises `BaseNotFound`, `BrokenBase` or `StoreError`; nothing
        half-written stays behind.
        """
        found = find_source(source, self._cache_dir)
        base_id = _checked_id(name or found.default_id)
        with folder_lock(self._cache_dir / "locks" / base_id):
            if (self._root / base_id).exists():
                return self._already_here(base_id, found)
            with staged_folder(self._root / base_id) as stage:
                self._build(base_id, found, stage, on_progress or _silent)
        return self.get(base_id)

    def list(self) -> list[Base]:
        """Every readable base, by id."""
        folders = sorted(self._root.iterdir()) if self._root.is_dir() else []
        return [self.get(folder.name) for folder in folders if (folder / "base.json").is_file()]

    def get(self, base_id: str, *, verify: bool = False) -> Base:
        """Raises `BaseNotFound`, or `BrokenBase` when files are damaged (with `verify`, every byte is checked)."""
        folder = self._root / base_id
        if _ID.fullmatch(base_id) is None or not (folder / "base.json").is_file():
            raise BaseNotFound(
                f"The base model {base_id} is not on this machine.",
                fix=f"Run `chiliad base pull {base_id if base_id in CATALOG else 'SOURCE --name ' + base_id}`.",
            )
        base, weights_bytes = _read_base(folder)
        weights_missing = not base.weights_path.is_file() or base.weights_path.stat().st_size != weights_bytes
        if weights_missing or (verify and fingerprint(folder, base.config) != base.fingerprint):
            raise BrokenBase(
                f"The files of base model {base_id} are not the ones that were pulled.", fix=_PULL_AGAIN.format(base_id)
            )
        return base

    def remove(self, base_id: str) -> None:
        """Delete a base model from this machine. Raises `BaseNotFound`."""
        if _ID.fullmatch(base_id) is None or not (self._root / base_id).is_dir():
            raise BaseNotFound(f"The base model {base_id} is not on this machine.", fix="See `chiliad base list`.")
        with folder_lock(self._cache_dir / "locks" / base_id):
            remove_folder(self._root / base_id)

    def _already_here(self, base_id: str, found: Source) -> Base:
        base = self.get(base_id)
        if base.source != found.label:
            raise BrokenBase(
                f"The name {base_id} is taken by a base model from {base.source}.",
                fix=f"Choose another with --name, or run `chiliad base remove {base_id}` first.",
            )
        return base

    def _build(self, base_id: str, found: Source, stage: Path, on_progress: OnProgress) -> None:
        material = found.fetch(stage, on_progress)
        if base_id in CATALOG and material.sha256 != CATALOG[base_id].gguf_sha256:
            raise BrokenBase(
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


def _read_base(folder: Path) -> tuple[Base, int]:
    """The base that a folder describes, and how many bytes its weights must have."""
    try:
        record = json.loads((folder / "base.json").read_text(encoding="utf-8"))
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        base = Base(
            id=folder.name,
            path=folder,
            config=config,
            **{key: record[key] for key in ("fingerprint", "architecture", "licence", "source", "note")},
        )
        return base, record["weights_bytes"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenBase(
            f"The base model {folder.name} cannot be read ({error}).", fix=_PULL_AGAIN.format(folder.name)
        ) from None


def _checked_id(name: str) -> str:
    if _ID.fullmatch(name) is None:
        raise BrokenBase(
            f"{name!r} cannot be the name of a base model.",
            fix="Use lower-case letters, digits, dots, hyphens and underscores.",
        )
    return name


def _silent(stage: str, done: int, total: int) -> None:
    """The progress report of a caller that wants none."""
