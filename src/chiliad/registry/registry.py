"""Experts and their versions: writing, finding, promoting and deleting them.

A version is a folder `<root>/<name>/<number>/` that appears whole and never changes. Files are the truth; the database
is the index that every process reads, and `reconcile` brings it up to the files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from chiliad.errors import ExpertNotFound, RegistryError, StoreError
from chiliad.registry.alias import Alias
from chiliad.registry.expert import EXPERT_FILE, ExpertFacts, ExpertVersion
from chiliad.registry.fine_tuned import PREFIX, RECORDED_AS, FineTunedName
from chiliad.registry.gate import Action, Comparison, Promotion, judge
from chiliad.registry.ids import ExpertName, ExpertRef, check_name, is_name
from chiliad.registry.reconcile import Unreadable, numbers_in, reconcile
from chiliad.store import AuditLog, Document, Store, VersionRow
from chiliad.store.files import explain_disk_errors, folder_lock, remove_folder, staged_folder, write_atomic

Clock = Callable[[], datetime]
DATABASE_FILE = "chiliad.db"
RUN = "run"
"""what names the very training that made a version, among the facts of it"""


def utc_now() -> datetime:
    return datetime.now(UTC)


def require_workspace(folder: Path) -> None:
    """Raises RegistryError unless `folder` is a workspace: the database is in it, or the files that rebuild it."""
    with explain_disk_errors(folder):
        there = any((folder / name).exists() for name in (DATABASE_FILE, "experts", "datasets"))
    if not there:
        raise RegistryError(
            f"There is no workspace in {folder}.",
            fix="Name its folder with --workspace; `chiliad train NAME --data FILE` makes a new one.",
        )


@dataclass(frozen=True)
class Draft:
    """A version that is being written: fill `folder` with the adapter's files, the template and the card."""

    ref: ExpertRef
    folder: Path


@dataclass(frozen=True)
class ExpertSummary:
    """One line of `chiliad experts list`."""

    name: ExpertName
    live: ExpertVersion | None
    numbers: tuple[int, ...]


class Registry:
    """Safe to share between threads and to open from several processes on one workspace."""

    def __init__(
        self,
        store: Store,
        workspace: Path,
        *,
        reserved: Callable[[], frozenset[str]] = frozenset,
        clock: Clock = utc_now,
    ) -> None:
        """`reserved` gives the names that no expert may take besides Chiliad's own: the ids of the base models."""
        self._store = store
        self.database = store.database
        self._reserved = reserved
        self._clock = clock
        self._audit = AuditLog(store.database, lambda: clock().timestamp())
        self.workspace = workspace
        self.experts_root = workspace / "experts"
        self.datasets_root = workspace / "datasets"
        self.unreadable: tuple[Unreadable, ...] = ()
        """what the last look at the files could not read"""
        self.reconcile()

    @contextmanager
    def write_version(self, name: str, facts: ExpertFacts, *, number: int | None = None) -> Iterator[Draft]:
        """Write a new version; it exists, whole, once the block ends without an exception.

        Without `number` it is the next free one, which no other writer gets. Nothing becomes live by it. Raises
        RegistryError for a bad name, VersionConflict if the number is taken, StoreError if the disk is full.
        """
        expert = self.check_name(name)
        ref = ExpertRef(expert, number or self._store.reserve_version(expert, above=self._number_max(expert)))
        with staged_folder(self.folder(ref)) as stage:
            yield Draft(ref, stage)
            version = self._described(ref, facts, stage)
            write_atomic(stage / EXPERT_FILE, json.dumps(version.to_document(), indent=2, ensure_ascii=False) + "\n")
        self._store.put_versions([version.to_row()])
        self._audit.add("version.write", str(ref))

    def now(self) -> datetime:
        return self._clock()

    def first_numbers(self, names: Sequence[str]) -> dict[str, int]:
        """Take a version number for each of these experts, of which there is no version."""
        return self._store.reserve_first({name: self._number_max(ExpertName(name)) for name in names})

    def record_live(self, versions: Sequence[tuple[ExpertVersion, Alias]], source: str) -> None:
        """Record first versions whose folders and aliases are in place, all in one transaction."""
        self._store.put_live([(version.to_row(), alias.rows()) for version, alias in versions])
        self._audit.add("pack.install", source, {"experts": len(versions)})

    def check_name(self, name: str) -> ExpertName:
        """Raises RegistryError unless a new version may be called so."""
        return check_name(name, reserved=self._reserved())

    def get(self, reference: str | ExpertRef) -> ExpertVersion:
        """The version that `tickets@3` or `ft:...:tickets:ID` names, or the live one of `tickets`. Raises ExpertNotFound."""
        if isinstance(reference, str) and reference.startswith(PREFIX):
            return self._fine_tuned(FineTunedName.parse(reference))
        ref = reference if isinstance(reference, ExpertRef) else ExpertRef.parse(reference)
        row = self._row(ref) if is_name(ref.name) else None
        if row is None:
            self._refuse(ref)
        return ExpertVersion.from_document(row.document)

    def versions(self, name: str) -> list[ExpertVersion]:
        """All versions of an expert, oldest first. Raises ExpertNotFound."""
        rows = self._store.versions(name) if is_name(name) else ()
        if not rows:
            self._refuse(ExpertRef(ExpertName(name)))
        return [ExpertVersion.from_document(row.document) for row in rows]

    def experts(self) -> list[ExpertSummary]:
        """All experts by name, each with its live version."""
        live = self._store.live_versions()
        return [
            ExpertSummary(
                name=ExpertName(name),
                live=ExpertVersion.from_document(live[name].document) if name in live else None,
                numbers=tuple(sorted(numbers)),
            )
            for name, numbers in self._store.numbers().items()
        ]

    def fine_tuned(self) -> list[ExpertVersion]:
        """All versions that have a name of their own as fine-tuned models."""
        return [ExpertVersion.from_document(row.document) for row in self._store.versions_trained_with(RECORDED_AS)]

    def trained(self) -> list[ExpertVersion]:
        """All versions that a training of this workspace has made, by expert and number."""
        return [ExpertVersion.from_document(row.document) for row in self._store.versions_trained_with(RUN)]

    def folder(self, ref: ExpertRef) -> Path:
        """Where a version's files are."""
        name, number = _key(ref)
        return self.experts_root / name / str(number)

    def history(self, name: str) -> list[Promotion]:
        """Every move of an expert's alias, oldest first."""
        return [Promotion.from_document(vars(row)) for row in self._store.history(name)]

    def record_comparison(self, name: str, comparison: Comparison) -> None:
        """Keep what `promote` will judge by; the newest of a pair counts."""
        self._store.put_comparison(name, comparison.candidate, comparison.live, comparison.to_document())

    def comparison(self, name: str, candidate: int, live: int) -> Comparison | None:
        document = self._store.comparison(name, candidate, live)
        return Comparison.from_document(document) if document else None

    def promote(
        self, name: str, number: int, comparison: Comparison | None = None, *, force: bool = False
    ) -> Promotion:
        """Make a version live, if the gate lets it.

        The first version needs no comparison; a later one is judged by `comparison`, or by the one on record, and by the one
        on record with the best version before, if there is such. `force` goes past the gate and is recorded. Raises
        PromotionRefused, and then what was live stays live.
        """
        candidate = ExpertRef(ExpertName(name), number)
        with self._alias(candidate) as alias:
            if alias.live == number:
                return alias.history[-1]
            evidence = comparison or (self.comparison(name, number, alias.live) if alias.live else None)
            if not force:
                best = alias.best({version.number for version in self.versions(name)})
                judge(candidate, alias.live, evidence, self.comparison(name, number, best) if best else None)
            return self._move(candidate, alias, Action.PROMOTE, forced=force, comparison=evidence)

    def best(self, name: str) -> int | None:
        """The version that later ones are measured by besides the live one (see `Alias.best`). Raises ExpertNotFound."""
        numbers = {version.number for version in self.versions(name)}
        return Alias.read(self.experts_root / name).best(numbers)

    def rollback(self, name: str) -> Promotion:
        """Make the previously live version live again. Raises RegistryError if there is none."""
        newest = self.versions(name)[-1]
        with self._alias(newest.ref) as alias:
            target = alias.previous({version.number for version in self.versions(name)})
            if target is None:
                raise RegistryError(
                    f"{name} has no earlier live version to go back to.",
                    fix=f"See `chiliad experts show {name}` for its versions, and promote one.",
                )
            return self._move(ExpertRef(newest.name, target), alias, Action.ROLLBACK)

    def delete(self, ref: ExpertRef, *, force: bool = False) -> None:
        """Delete one version. The live one only by force; its expert then has no live version until one is promoted."""
        name, number = _key(self.get(ref).ref)
        ref = ExpertRef(name, number)
        with self._alias(ref) as alias:
            if alias.live != number:
                alias.without(number).write(self.experts_root / name)
            elif force:
                self._move(ref, alias, Action.WITHDRAW, forced=True)
            else:
                raise RegistryError(
                    f"{ref} is live.",
                    fix=f"Promote another version or `chiliad experts rollback {name}` first, or delete "
                    "it with --force, or the whole expert with --all.",
                )
            self._store.remove_version(name, number)
            remove_folder(self.folder(ref))
            self._audit.add("version.delete", str(ref))

    def delete_expert(self, name: str) -> None:
        """Delete all versions of an expert, its alias and its history. Raises ExpertNotFound."""
        with self._locked(name):
            self.versions(name)
            self._store.remove_expert(name)
            remove_folder(self.experts_root / name)
            self._audit.add("expert.delete", name)

    def datasets(self) -> dict[str, Document]:
        """hash -> `dataset.json` of every frozen dataset in the workspace."""
        return self._store.datasets()

    def reconcile(self) -> None:
        """Bring the index up to the files."""
        self.unreadable = reconcile(self._store, self.experts_root, self.datasets_root)

    def rebuild(self) -> tuple[Unreadable, ...]:
        """Forget the index and read it from the files again; returns what could not be read."""
        self._store.clear()
        self.reconcile()
        return self.unreadable

    def _row(self, ref: ExpertRef) -> VersionRow | None:
        if ref.number is None:
            return self._store.live_version(ref.name)
        return self._store.version(ref.name, ref.number)

    def _fine_tuned(self, name: FineTunedName) -> ExpertVersion:
        for row in reversed(self._store.versions(name.expert)):
            if row.document["training"].get(RECORDED_AS) == str(name):
                return ExpertVersion.from_document(row.document)
        raise ExpertNotFound(
            f"There is no fine-tuned model {str(name)!r} (any more).", fix="GET /v1/models lists those that there are."
        )

    def _number_max(self, name: ExpertName) -> int:
        """The highest number in use among the files, known to the database or not."""
        folder = self.experts_root / name
        return max(numbers_in(folder) | {Alias.read(folder).number_max()})

    def _described(self, ref: ExpertRef, facts: ExpertFacts, folder: Path) -> ExpertVersion:
        from chiliad.adapters import content_hash  # loads PyTorch, which only writers need

        name, number = _key(ref)
        return ExpertVersion(
            **vars(facts),
            name=name,
            number=number,
            adapter_hash=content_hash(folder),
            created=self._clock(),
        )

    @contextmanager
    def _alias(self, ref: ExpertRef) -> Iterator[Alias]:
        """The alias of an expert, held so that no other process moves it; `ref` exists all the while."""
        self.get(ref)
        with self._locked(ref.name):
            self.get(ref)
            yield Alias.read(self.experts_root / ref.name)

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """An expert's folder, for this process alone. Raises ExpertNotFound if there is none, or none any more."""
        self.versions(name)
        with ExitStack() as held:
            try:
                held.enter_context(folder_lock(self.experts_root / name, create=False))
            except StoreError:
                self.reconcile()  # so that what somebody removed by hand is not found either
                self.versions(name)
                raise
            yield

    def _move(
        self,
        ref: ExpertRef,
        alias: Alias,
        action: Action,
        *,
        forced: bool = False,
        comparison: Comparison | None = None,
    ) -> Promotion:
        name, number = _key(ref)
        step = Promotion(action, number, self._clock(), forced, comparison)
        moved = alias.moved(step)
        moved.write(self.experts_root / name)
        self._store.put_alias(name, moved.live, moved.rows())
        self._audit.add(f"version.{action}", str(ref), {"forced": True} if forced else None)
        return step

    def _refuse(self, ref: ExpertRef) -> NoReturn:
        known = self._store.numbers()
        if ref.name not in known:
            near = get_close_matches(ref.name, known, n=1)
            fix = f"Did you mean {near[0]!r}?" if near else "`chiliad experts list` shows the experts that there are."
            raise ExpertNotFound(f"There is no expert {ref.name!r}.", fix=fix)
        numbers = ", ".join(map(str, sorted(known[ref.name])))
        if ref.number is None:
            raise ExpertNotFound(
                f"{ref.name} has no live version.",
                fix=f"Promote one: `chiliad experts promote {ref.name}@N`, N of {numbers}.",
            )
        raise ExpertNotFound(f"There is no version {ref}.", fix=f"{ref.name} has the versions {numbers}.")


def _key(ref: ExpertRef) -> tuple[ExpertName, int]:
    assert ref.number is not None, "an alias has no folder of its own"
    return ref.name, ref.number
