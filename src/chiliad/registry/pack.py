"""A pack: many experts of one base in one file, to be installed together.

    manifest.json         title and base, and the size and hash of every other member
    experts.jsonl         a line for each expert: what it does, how it was made, what it scored, some rows to try
    adapters/<name>/      adapter_config.json and adapter_model.safetensors, as PEFT has them
    templates/<hash>      chat templates, each once
    basis/<file>          what adapters share that are only a core, each once

Nothing in one is believed: the archive's own rules (`store.archive`) hold, and every adapter is read and fitted to the base.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import TypeAdapter, ValidationError

from chiliad.errors import BrokenPack
from chiliad.registry.export_peft import ADAPTER_FILES
from chiliad.registry.ids import is_name
from chiliad.store.archive import ArchiveReader, ArchiveWriter, new_archive, open_archive

if TYPE_CHECKING:
    from chiliad.registry.expert import ExpertVersion

FORMAT = 1
INDEX = "experts.jsonl"
ADAPTERS, TEMPLATES, BASIS = "adapters", "templates", "basis"
EXPERTS_MAX = 100_000
INDEX_BYTES_MAX = 256 << 20

Kind = Literal["labels", "json", "text"]
"""of task, as versions record it"""


@dataclass(frozen=True)
class Worth:
    """What an expert scored where it was made, on rows that its training never saw. baseline: the best one beside it."""

    metric: str
    score: float
    rows: int
    baseline: str | None = None
    baseline_score: float | None = None


@dataclass(frozen=True)
class PackedExpert:
    """What a pack says of an expert. template: the name of its member; samples: inputs and wanted answers."""

    name: str
    family: str
    adapter_hash: str
    template: str
    kind: Kind
    choices: tuple[str, ...] = ()
    instruction: str | None = None
    training: dict[str, Any] = field(default_factory=dict)
    worth: Worth | None = None
    samples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class PackFacts:
    """What a pack says of itself."""

    title: str
    base_id: str
    base_fingerprint: str
    experts: int
    created: str
    format: int = FORMAT


@dataclass(frozen=True)
class Pack:
    """A pack whose members are those that it lists; their content is checked when they are unpacked."""

    facts: PackFacts
    experts: tuple[PackedExpert, ...]
    _archive: ArchiveReader

    def unpack(self, folder: Path) -> None:
        """Write all members into an empty folder. Raises BrokenPack."""
        self._archive.unpack(folder)


class PackWriter:
    """Adds experts one by one; what they share goes in once."""

    def __init__(self, archive: ArchiveWriter) -> None:
        self._archive = archive
        self._shared: set[str] = set()
        self._experts: list[PackedExpert] = []

    def add(self, version: ExpertVersion, folder: Path, template: bytes, **about: Any) -> None:
        """Add a version by the files in `folder`. `about` are fields of `PackedExpert` that the version does not know."""
        name = f"{TEMPLATES}/{hashlib.sha256(template).hexdigest()[:16]}"
        self._once(name, template)
        for file in ADAPTER_FILES:
            self._archive.add_file(f"{ADAPTERS}/{version.name}/{file}", folder / file)
        expert = PackedExpert(
            name=version.name,
            adapter_hash=version.adapter_hash,
            template=name,
            kind=cast(Kind, version.kind),
            choices=version.choices,
            instruction=version.instruction,
            **about,
        )
        self._experts.append(expert)

    def add_basis(self, file: Path) -> None:
        """Add what adapters of this pack share."""
        self._once(f"{BASIS}/{file.name}", file.read_bytes())

    def finish(self, title: str, base_id: str, base_fingerprint: str, now: datetime) -> PackFacts:
        self._archive.add(INDEX, (_EXPERT.dump_json(expert) + b"\n" for expert in self._experts))
        facts = PackFacts(title, base_id, base_fingerprint, len(self._experts), now.isoformat(timespec="seconds"))
        self._archive.finish(vars(facts))
        return facts

    def _once(self, name: str, content: bytes) -> None:
        if name not in self._shared:
            self._shared.add(name)
            self._archive.add(name, [content])


@contextmanager
def new_pack(path: Path) -> Iterator[PackWriter]:
    """A pack that appears at `path`, whole, when the block ends without an exception. Raises StoreError if there is one."""
    with new_archive(path, level=9) as archive:
        yield PackWriter(archive)


@contextmanager
def open_pack(path: Path) -> Iterator[Pack]:
    """Read what a pack says. Raises BrokenPack, and StoreError if there is no such file."""
    with open_archive(path, BrokenPack) as archive:
        try:
            facts = _FACTS.validate_python(archive.facts)
            experts = tuple(_EXPERT.validate_json(line) for line in archive.read(INDEX, INDEX_BYTES_MAX).splitlines())
        except ValidationError as error:
            raise _broken(
                path, f"{error.errors()[0]['msg']} ({'.'.join(map(str, error.errors()[0]['loc']))})"
            ) from error
        _check(path, facts, experts, archive.members)
        yield Pack(facts, experts, archive)


def _check(path: Path, facts: PackFacts, experts: tuple[PackedExpert, ...], members: Mapping[str, object]) -> None:
    if facts.format != FORMAT:
        raise _broken(path, f"its format is {facts.format}", "Use the version of Chiliad that wrote it, or newer.")
    if facts.experts != len(experts) or not 0 < len(experts) <= EXPERTS_MAX:
        raise _broken(path, f"it lists {len(experts)} experts")
    named = {expert.name for expert in experts}
    if len(named) < len(experts) or not all(map(is_name, named)):
        raise _broken(path, "the names of its experts are no names, or not different")
    wanted = set(_members_of(experts))
    strange = [name for name in members if name not in wanted and Path(name).parent != Path(BASIS)]
    missing = wanted - members.keys()
    if strange or missing:
        raise _broken(path, f"it holds {strange[0]}" if strange else f"it lacks {min(missing)}")


def _members_of(experts: Iterable[PackedExpert]) -> Iterator[str]:
    yield INDEX
    for expert in experts:
        yield expert.template
        yield from (f"{ADAPTERS}/{expert.name}/{file}" for file in ADAPTER_FILES)


def _broken(path: Path, reason: str, fix: str = "Take another copy of it; nothing was changed.") -> BrokenPack:
    return BrokenPack(f"{path} is not a whole pack: {reason}.", fix=fix)


_FACTS = TypeAdapter(PackFacts)
_EXPERT = TypeAdapter(PackedExpert)
