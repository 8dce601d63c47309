"""Installing a pack: all of its experts become live in one go, or nothing is changed.

A thousand versions one after another would wait for the disk ten thousand times. Here everything is made ready in a folder
aside, the disk is waited for once, each expert's folder takes its place whole, and one transaction records them. A kill
between the two leaves folders that the next look at the files records.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chiliad.adapters import Adapter, BasisFolder, CoreAdapter, content_hash, load_adapter
from chiliad.adapters.basis import BASIS_FOLDER, BasisHash
from chiliad.base import Base
from chiliad.errors import BrokenPack, RegistryError, VersionConflict, WrongBase
from chiliad.registry.alias import ALIAS_FILE, Alias
from chiliad.registry.expert import EXPERT_FILE, ExpertVersion
from chiliad.registry.export_peft import ADAPTER_FILES
from chiliad.registry.gate import Action, Promotion
from chiliad.registry.ids import ExpertName, ExpertRef
from chiliad.registry.import_ import OWN_TO_A_WORKSPACE, TEMPLATE_FILE, check_adapter, check_template, shapes_of
from chiliad.registry.pack import ADAPTERS, BASIS, Pack, PackedExpert, open_pack
from chiliad.registry.reconcile import numbers_in
from chiliad.registry.registry import Registry
from chiliad.store.files import folder_lock, working_folder

PACK = "pack"
"""the field of a version's `training` that says which pack it came in, and what that says of it"""
TOLD_MAX = 5


@dataclass(frozen=True)
class Installed:
    """new: experts that are live now; present: those that were there already, the same."""

    title: str
    base_id: str
    new: tuple[ExpertRef, ...]
    present: tuple[ExpertRef, ...]


def install_pack(registry: Registry, source: Path, base: Base) -> Installed:
    """Make every expert of a pack live, as the first version of its name.

    Experts that are here already with the same adapter are left alone, so that the same pack again completes an
    installation that was cut short. Raises BrokenPack, BrokenAdapter, WrongBase, StoreError, and RegistryError if another
    expert has one of the names; nothing is installed then.
    """
    with open_pack(source) as pack, folder_lock(registry.experts_root):
        _require_base(pack, base, source)
        new, present = _sorted_out(registry, pack)
        with working_folder(registry.workspace) as aside:
            unpacked, ready = aside / "unpacked", aside / "ready"
            unpacked.mkdir()
            pack.unpack(unpacked)
            _check_adapters(unpacked, new, base)
            versions = _made_ready(registry, pack, new, unpacked, ready, source.name)
            _share(unpacked / BASIS, BasisFolder(registry.workspace / BASIS_FOLDER))
            _place(ready, versions, registry.experts_root)
            registry.record_live(versions, source.name)
    return Installed(pack.facts.title, base.id, tuple(version.ref for version, _ in versions), present)


def _require_base(pack: Pack, base: Base, source: Path) -> None:
    facts = pack.facts
    if facts.base_fingerprint != base.fingerprint:
        raise WrongBase(
            f"The experts in {source} are for {facts.base_id} ({facts.base_fingerprint[:12]}), "
            f"not for {base.id} ({base.fingerprint[:12]}).",
            fix=f"Pull {facts.base_id}, and name it with --base.",
        )


def _sorted_out(registry: Registry, pack: Pack) -> tuple[list[PackedExpert], tuple[ExpertRef, ...]]:
    """Who is to be installed, and who is here. Raises RegistryError if a name is taken, or none."""
    here = {expert.name: expert.live for expert in registry.experts()}
    new, present, taken = [], [], []
    for expert in pack.experts:
        name = registry.check_name(expert.name)
        live = here.get(name)
        if live is not None and live.adapter_hash == expert.adapter_hash:
            present.append(live.ref)
        elif name not in here and _is_free(registry.experts_root / name):
            new.append(expert)
        else:
            taken.append(name)
    if taken:
        more = f" and {len(taken) - TOLD_MAX} more" if len(taken) > TOLD_MAX else ""
        raise RegistryError(
            f"There are other experts of these names already: {', '.join(taken[:TOLD_MAX])}{more}.",
            fix="Install the pack into another workspace (--workspace), or delete those experts first, or the folder of one "
            "that cannot be read.",
        )
    return new, tuple(present)


def _is_free(folder: Path) -> bool:
    """An expert's folder that is not there, or that its deleted versions have left."""
    return not folder.exists() or (folder.is_dir() and not numbers_in(folder))


def _check_adapters(unpacked: Path, experts: Sequence[PackedExpert], base: Base) -> None:
    """Raises BrokenPack for an adapter that is not the listed one; BrokenAdapter, WrongBase for one that cannot serve."""
    for template in {expert.template for expert in experts}:
        check_template(unpacked / template)
    shared, shapes = BasisFolder(unpacked / BASIS), shapes_of(base)
    fitting: set[str] = set()
    for expert in experts:
        folder = unpacked / ADAPTERS / expert.name
        if content_hash(folder) != expert.adapter_hash:
            raise BrokenPack(
                f"The adapter of {expert.name} is not the one that the pack lists.",
                fix="Take another copy of the pack.",
            )
        adapter = load_adapter(folder, base_fingerprint=base.fingerprint, basis=shared)
        fits_like = _fits_like(adapter)
        if fits_like not in fitting:
            check_adapter(base, adapter, shapes)
            fitting.add(fits_like)


def _fits_like(adapter: Adapter) -> str:
    """The same for adapters of which one fits if another does: cores are checked against their basis when they are read."""
    return adapter.basis.hash if isinstance(adapter, CoreAdapter) else adapter.hash


def _made_ready(
    registry: Registry, pack: Pack, experts: Sequence[PackedExpert], unpacked: Path, ready: Path, file: str
) -> list[tuple[ExpertVersion, Alias]]:
    """`ready/<name>/` for each: what an expert's folder holds, its alias pointing at its one version."""
    numbers = registry.first_numbers([expert.name for expert in experts])
    versions = []
    for expert in experts:
        version = _version(pack, expert, numbers[expert.name], file, registry)
        folder = ready / expert.name / str(version.number)
        folder.mkdir(parents=True)
        for name in ADAPTER_FILES:
            (unpacked / ADAPTERS / expert.name / name).rename(folder / name)
        shutil.copyfile(unpacked / expert.template, folder / TEMPLATE_FILE)
        document = json.dumps(version.to_document(), indent=2, ensure_ascii=False)
        (folder / EXPERT_FILE).write_text(document + "\n", "utf-8")
        before = Alias.read(registry.experts_root / expert.name)
        alias = before.moved(Promotion(Action.PROMOTE, version.number, version.created))
        (folder.parent / ALIAS_FILE).write_text(alias.to_json(), "utf-8")
        versions.append((version, alias))
    return versions


def _version(pack: Pack, expert: PackedExpert, number: int, file: str, registry: Registry) -> ExpertVersion:
    told = {key: value for key, value in expert.training.items() if key not in OWN_TO_A_WORKSPACE}
    worth = vars(expert.worth) if expert.worth else None
    claim: dict[str, Any] = {"title": pack.facts.title, "family": expert.family, "worth": worth}
    return ExpertVersion(
        name=ExpertName(expert.name),
        number=number,
        adapter_hash=expert.adapter_hash,  # type: ignore[arg-type]  # checked against the files
        created=registry.now(),
        base_id=pack.facts.base_id,
        base_fingerprint=pack.facts.base_fingerprint,
        kind=expert.kind,
        choices=expert.choices,
        instruction=expert.instruction,
        training={**told, "imported_from": file, PACK: claim},
    )


def _share(source: Path, target: BasisFolder) -> None:
    """Keep what cores are between; each is read, so that its name says its content."""
    for file in sorted(source.glob("*.safetensors")):
        target.put(BasisFolder(source).get(BasisHash(file.stem)))


def _place(ready: Path, versions: Sequence[tuple[ExpertVersion, Alias]], root: Path) -> None:
    """Each expert takes its place, whole, once everything is on the disk."""
    root.mkdir(parents=True, exist_ok=True)
    os.sync()
    for version, _ in versions:
        try:
            _settle(ready / version.name, root / version.name)
        except OSError as error:
            raise VersionConflict(
                f"{root / version.name} appeared while the pack was being installed.",
                fix="Delete that expert or rename it, and install the pack again: it goes on from here.",
            ) from error
    os.sync()


def _settle(ready: Path, folder: Path) -> None:
    """Become an expert's folder, or fill the one that there is. Raises OSError if there are versions in it."""
    if not folder.exists():
        ready.rename(folder)
        return
    with folder_lock(folder, create=False):
        if not _is_free(folder):
            raise FileExistsError(folder)
        for entry in sorted(ready.iterdir(), reverse=True):  # the alias first: alone it makes nothing live
            entry.rename(folder / entry.name)
