"""Export as a PEFT adapter: the version's own files, in a folder or a zip archive that `import` takes back.

A shared-basis adapter, which is no whole without its workspace and which PEFT does not know, goes out as the LoRA that it
expands to.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from chiliad.adapters import BasisFolder, CoreAdapter, as_lora, content_hash, load_adapter, save_adapter
from chiliad.errors import RegistryError
from chiliad.registry.expert import ExpertVersion
from chiliad.registry.merged import Parity
from chiliad.store.files import staged_folder, write_atomic

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
SIDE_FILES = ("chat_template.jinja", "expert.json", "card.json", "card.md", "card.html")
"""what travels with every export, if the version has it"""


def export_peft(version: ExpertVersion, source: Path, target: Path) -> Parity:
    """Write `target`, a folder or (named *.zip) an archive, from the version's folder `source`.

    Raises RegistryError when `target` exists or the files are not those that were registered.
    """
    refuse_existing(target)
    check_unchanged(version, source)
    files = {path.name: path.read_bytes() for path in files_of(source)} | _expanded(version, source)
    if target.suffix == ".zip":
        write_atomic(target, _zipped(files))
        with zipfile.ZipFile(target) as archive:
            written = {name: archive.read(name) for name in archive.namelist()}
    else:
        with staged_folder(target) as stage:
            for name, content in files.items():
                write_atomic(stage / name, content)
        written = {path.name: path.read_bytes() for path in target.iterdir()}
    if written != files:
        raise RegistryError(f"{target} reads back differently from what was written.", fix="Check the disk.")
    return Parity(_tensors_in(files[ADAPTER_FILES[1]]), 0.0)


def _expanded(version: ExpertVersion, source: Path) -> dict[str, bytes]:
    """The files of the LoRA that a shared-basis adapter expands to; nothing for the other kinds, which stay as they are."""
    adapter = load_adapter(source, basis=BasisFolder.of_version(source))
    if not isinstance(adapter, CoreAdapter):
        return {}
    lora, base, fingerprint = as_lora(adapter), version.base_id, version.base_fingerprint
    with TemporaryDirectory(prefix="chiliad-export-") as folder:
        save_adapter(Path(folder), lora.shape, lora.unscaled(), base_id=base, base_fingerprint=fingerprint)
        return {name: (Path(folder) / name).read_bytes() for name in ADAPTER_FILES}


def _tensors_in(content: bytes) -> int:
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return len(header.keys() - {"__metadata__"})


def check_unchanged(version: ExpertVersion, source: Path) -> None:
    """Raises RegistryError if a version's adapter is not the one that was registered."""
    if content_hash(source) != version.adapter_hash:
        raise RegistryError(
            f"The files of {version.ref} are not the ones that were registered.",
            fix="Bring them back from a backup, or delete this version and train it again.",
        )


def files_of(folder: Path) -> Iterator[Path]:
    """The files of a version that an export takes along."""
    for name in (*ADAPTER_FILES, *SIDE_FILES):
        if (folder / name).is_file():
            yield folder / name


def refuse_existing(target: Path) -> None:
    if target.exists():
        raise RegistryError(f"{target} exists already.", fix="Choose another place with --out, or remove it first.")


def _zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
