"""Import: a PEFT adapter from a folder or an exported archive becomes a new version, whole or not at all."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from chiliad.adapters import Adapter, Ia3Adapter, PrefixAdapter, as_lora, kind_of, load_adapter
from chiliad.adapters.ia3 import FEEDFORWARD
from chiliad.adapters.merge import Deltas, weight_name
from chiliad.base import Base, ChatTemplate
from chiliad.base.weights import read_weights
from chiliad.errors import BadRequest, BrokenAdapter, WrongBase
from chiliad.registry.expert import EXPERT_FILE, ExpertFacts, ExpertVersion
from chiliad.registry.export_peft import ADAPTER_FILES
from chiliad.registry.fine_tuned import RECORDED_AS
from chiliad.registry.merged import check_fit
from chiliad.registry.registry import Registry

ARCHIVE_BYTES_MAX = 4 << 30
TEMPLATE_FILE = "chat_template.jinja"
LOADED = "loaded"
"""the field of a version's `training` that marks it as loaded by a client"""
OWN_TO_A_WORKSPACE = (LOADED, RECORDED_AS, "run")
"""what a `training` says that means nothing elsewhere; the name of a fine-tuned model would answer without being promoted"""
WANTED_FILES = (*ADAPTER_FILES, TEMPLATE_FILE, EXPERT_FILE)


def import_adapter(
    registry: Registry,
    name: str,
    source: Path,
    base: Base,
    *,
    choices: tuple[str, ...] | None = None,
    loaded: bool = False,
) -> ExpertVersion:
    """Register the adapter in `source`, a folder or a zip archive, as the next version of `name` for `base`.

    What an exported `expert.json` says about kind, choices and training is kept; `choices` replaces its closed answers.
    `loaded` marks it as one that a client may unload: where it came from, it still is.
    Its card is not: scores are computed here or not shown. Nothing becomes live. Raises BrokenAdapter (missing, cut
    short, pickled, not finite, another kind), WrongBase, RegistryError (the name), StoreError.
    """
    registry.check_name(name)
    with _opened(source) as folder:
        check_template(folder / TEMPLATE_FILE)
        adapter = load_adapter(folder, base_fingerprint=base.fingerprint)
        check_adapter(base, adapter, shapes_of(base))
        origin = {"imported_from": source.name, "adapter": kind_of(adapter).value, **({LOADED: True} if loaded else {})}
        facts = _facts(registry, folder, origin, base)
        facts = facts if choices is None else replace(facts, choices=choices, kind="labels" if choices else "text")
        with registry.write_version(name, facts) as draft:
            _copy(folder, draft.folder, base)
    return registry.get(draft.ref)


def shapes_of(base: Base) -> dict[str, tuple[int, ...]]:
    """Weight name -> the size of that matrix."""
    return {weight: view.shape for weight, view in read_weights(base.weights_path).items()}


def check_adapter(base: Base, adapter: Adapter, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raises WrongBase unless the base has the matrices that an adapter of any kind changes, in their sizes."""
    if isinstance(adapter, PrefixAdapter):
        _check_prefix(base, adapter, shapes)
        return
    if not isinstance(adapter, Ia3Adapter):
        check_fit(base, Deltas(as_lora(adapter)), shapes)
        return
    for (layer, site), scale in adapter.scales.items():
        out, width_in = shapes.get(weight_name(layer, site), (0, 0))
        if len(scale) != (width_in if site == FEEDFORWARD else out):
            raise WrongBase(
                f"The adapter multiplies {len(scale)} numbers at {site} of layer {layer}; {base.id} has others there.",
                fix="Name the base that this adapter was trained on with --base.",
            )


def _check_prefix(base: Base, adapter: PrefixAdapter, shapes: dict[str, tuple[int, ...]]) -> None:
    for (layer, _), (keys, _) in adapter.layers.items():
        out, _ = shapes.get(weight_name(layer, "k_proj"), (0, 0))
        if keys[0].numel() != out:
            raise WrongBase(
                f"The adapter has keys of {keys[0].numel()} numbers in layer {layer}; {base.id} has {out} there.",
                fix="Name the base that this adapter was trained on with --base.",
            )


@contextmanager
def _opened(source: Path) -> Iterator[Path]:
    """The folder with the adapter's files; an archive is unpacked for as long as it is looked at."""
    if source.is_dir():
        yield source
        return
    if not zipfile.is_zipfile(source):
        raise BrokenAdapter(
            f"{source} is neither a folder nor a zip archive.",
            fix="Give the folder that holds adapter_config.json, or an archive from `chiliad experts export`.",
        )
    with TemporaryDirectory(prefix="chiliad-import-") as folder:
        _unpack(source, Path(folder))
        yield Path(folder)


def _unpack(source: Path, folder: Path) -> None:
    """Take the files that an export writes, by name, and nothing else that an archive may hold."""
    try:
        with zipfile.ZipFile(source) as archive:
            known = [info for info in archive.infolist() if info.filename in WANTED_FILES]
            if sum(info.file_size for info in known) > ARCHIVE_BYTES_MAX:
                raise BrokenAdapter(f"{source} unpacks to more than 4 GiB.", fix="Give an archive of one adapter.")
            for info in known:
                archive.extract(info, folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:  # RuntimeError: encrypted
        raise BrokenAdapter(f"{source} is not a whole archive: {error}.", fix="Export it again.") from error


def _facts(registry: Registry, folder: Path, origin: Mapping[str, Any], base: Base) -> ExpertFacts:
    """What is known about an adapter: its own record if it was exported from Chiliad, else only where it came from."""
    if not (folder / EXPERT_FILE).is_file():
        return ExpertFacts(base_id=base.id, base_fingerprint=base.fingerprint, kind="text", training=dict(origin))
    exported = ExpertVersion.read(folder)
    exported.require_base(base.id, base.fingerprint)
    dataset = exported.dataset_hash
    known = dataset if dataset and any(dataset.startswith(name) for name in registry.datasets()) else None
    training = {key: value for key, value in exported.training.items() if key not in OWN_TO_A_WORKSPACE}
    return replace(exported.facts, parent=None, dataset_hash=known, base_id=base.id, training={**training, **origin})


def check_template(path: Path) -> None:
    """Raises BrokenAdapter if there is a file that is no chat template."""
    try:
        if path.is_file():
            ChatTemplate(path.read_bytes().decode("utf-8"), bos_token="", eos_token="").check()
    except (BadRequest, UnicodeDecodeError) as error:
        raise BrokenAdapter(f"{path} is no chat template: {error}", fix="Export the adapter again.") from error


def _copy(folder: Path, target: Path, base: Base) -> None:
    """Copy what belongs to a version. An adapter that brings no template was trained on the base's own."""
    for name in (*ADAPTER_FILES, TEMPLATE_FILE):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
    if not (target / TEMPLATE_FILE).is_file():
        (target / TEMPLATE_FILE).write_bytes(base.chat_template().source.encode("utf-8"))
