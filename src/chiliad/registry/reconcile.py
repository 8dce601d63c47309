"""Bringing the index in the database up to the plain files, which are the truth.

Cheap enough for every start: only what the database lacks is read in full. It repairs whatever a killed process left
half-recorded, and fills an empty database from the files alone.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from chiliad.errors import RegistryError, StoreError
from chiliad.registry.alias import ALIAS_FILE, Alias
from chiliad.registry.expert import ExpertVersion
from chiliad.registry.ids import is_name
from chiliad.store import PromotionRow, Store, VersionRow
from chiliad.store.files import folder_lock

DATASET_FILE = "dataset.json"

_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Unreadable:
    """A file of the workspace that should tell about an expert or dataset and does not."""

    path: Path
    reason: str


@dataclass(frozen=True)
class _Indexed:
    """What the database holds of one expert."""

    numbers: frozenset[int]
    live: int | None
    history: tuple[PromotionRow, ...]


def reconcile(store: Store, experts_root: Path, datasets_root: Path) -> tuple[Unreadable, ...]:
    """Make the database say what the files say; returns the files that cannot be read, which stay unlisted."""
    unreadable: list[Unreadable] = []
    indexed = _index(store)
    names = {folder.name for folder in _folders(experts_root) if is_name(folder.name)}
    for name in sorted(names):
        if not _agrees(experts_root / name, indexed.get(name)):
            unreadable += _take_expert(store, experts_root / name)
    for name in indexed.keys() - names:
        store.remove_expert(name)
    return (*unreadable, *_take_datasets(store, datasets_root))


def numbers_in(folder: Path) -> frozenset[int]:
    """The versions whose folders are in an expert's folder."""
    return frozenset(int(version.name) for version in _folders(folder) if _NUMBER.fullmatch(version.name))


def _index(store: Store) -> dict[str, _Indexed]:
    numbers, aliases, histories = store.numbers(), store.aliases(), store.histories()
    names = numbers.keys() | aliases.keys() | histories.keys()
    return {
        name: _Indexed(frozenset(numbers.get(name, ())), aliases.get(name), tuple(histories.get(name, ())))
        for name in names
    }


def _agrees(folder: Path, indexed: _Indexed | None) -> bool:
    known = indexed or _Indexed(frozenset(), None, ())
    try:
        alias = Alias.read(folder)
    except RegistryError:
        return False
    return numbers_in(folder) == known.numbers and alias.live == known.live and tuple(alias.rows()) == known.history


def _take_expert(store: Store, folder: Path) -> list[Unreadable]:
    """Record one expert as its folder has it, unless it is deleted at this moment."""
    try:
        with folder_lock(folder, create=False):
            return _take_locked(store, folder)
    except StoreError:
        if folder.is_dir():
            raise
        return []


def _take_locked(store: Store, folder: Path) -> list[Unreadable]:
    name, found = folder.name, numbers_in(folder)
    unreadable: list[Unreadable] = []
    rows: list[VersionRow] = []
    indexed = {row.number for row in store.versions(name)}
    for number in sorted(found - indexed):
        try:
            rows.append(_read_version(folder, number).to_row())
        except RegistryError as error:
            unreadable.append(Unreadable(folder / str(number), error.cause))
    store.put_versions(rows)
    for number in indexed - found:
        store.remove_version(name, number)
    try:
        alias = Alias.read(folder)
        store.put_alias(name, alias.live, alias.rows())
    except RegistryError as error:
        unreadable.append(Unreadable(folder / ALIAS_FILE, error.cause))
    return unreadable


def _read_version(folder: Path, number: int) -> ExpertVersion:
    version = ExpertVersion.read(folder / str(number))
    if (version.name, version.number) != (folder.name, number):
        raise RegistryError(
            f"The folder {folder / str(number)} holds {version.ref}.",
            fix="Move it back, or import it under its new name.",
        )
    return version


def _take_datasets(store: Store, root: Path) -> list[Unreadable]:
    unreadable = []
    known = store.datasets().keys()
    found = {folder.name for folder in _folders(root) if (folder / DATASET_FILE).is_file()}
    for name in sorted(found - known):
        try:
            store.put_dataset(name, json.loads((root / name / DATASET_FILE).read_text("utf-8")))
        except (OSError, ValueError) as error:
            unreadable.append(Unreadable(root / name / DATASET_FILE, f"Cannot read it ({error})."))
    for name in known - found:
        store.remove_dataset(name)
    return unreadable


def _folders(root: Path) -> list[Path]:
    """Sub-folders, asked of the directory alone: there may be thousands."""
    try:
        with os.scandir(root) as entries:
            return [root / entry.name for entry in entries if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):  # not there yet, or not there any more
        return []
