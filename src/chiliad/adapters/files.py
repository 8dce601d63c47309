"""An adapter's folder: `adapter_config.json` and `adapter_model.safetensors`, as PEFT has them wherever PEFT has the kind.

The base's fingerprint travels in the safetensors header, where PEFT neither needs nor minds it. What is in the two files is
each kind's own matter: `lora_file.py`, `core_file.py`, `ia3_file.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from chiliad.adapters import core_file, ia3_file, lora_file
from chiliad.adapters.basis import BasisFolder
from chiliad.adapters.cores import CoreAdapter, CoreShape
from chiliad.adapters.ia3 import Ia3Adapter, Ia3Shape
from chiliad.adapters.kinds import AdapterKind
from chiliad.adapters.lora import AdapterHash, LoraAdapter, LoraShape
from chiliad.errors import BrokenAdapter, WrongBase

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
FINGERPRINT_KEY = "chiliad.base_fingerprint"

Adapter = LoraAdapter | CoreAdapter | Ia3Adapter
AdapterShape = LoraShape | CoreShape | Ia3Shape

Factors = Mapping[tuple[int, str], tuple[Tensor, ...]]
"""(layer, site) -> what the kind has there, unscaled: A and B; R; or the factors"""


def save_adapter(
    folder: Path,
    shape: AdapterShape,
    factors: Factors,
    *,
    base_id: str,
    base_fingerprint: str,
    dtype: torch.dtype = torch.bfloat16,
) -> AdapterHash:
    """Write an adapter into an existing, private folder. `factors` are unscaled, as PEFT stores them.

    Of the kind shared-basis these are the cores alone: the basis has to be in the `BasisFolder` that it is read with.
    """
    config, tensors = _contents(shape, factors)
    about = {"task_type": "CAUSAL_LM", "base_model_name_or_path": base_id, "inference_mode": True}
    (folder / CONFIG_NAME).write_text(json.dumps({**config, **about}, indent=2) + "\n", "utf-8")
    rounded = {name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}
    (folder / WEIGHTS_NAME).write_bytes(save(rounded, {"format": "pt", FINGERPRINT_KEY: base_fingerprint}))
    return content_hash(folder)


def content_hash(folder: Path) -> AdapterHash:
    """sha256 over both files: equal hashes mean equal answers.

    safetensors writes its header's metadata in any order, so the header counts in sorted form. Raises BrokenAdapter.
    """
    digest = hashlib.sha256()
    header, tensors = _parts(_existing(folder / WEIGHTS_NAME))
    for part in (_existing(folder / CONFIG_NAME).read_bytes(), header, tensors):
        digest.update(f"{len(part)}\0".encode())
        digest.update(part)
    return AdapterHash(digest.hexdigest())


def load_adapter(
    folder: Path,
    *,
    base_fingerprint: str | None = None,
    dtype: torch.dtype = torch.bfloat16,
    basis: BasisFolder | None = None,
) -> Adapter:
    """Read an adapter for serving, a LoRA's scale folded into B.

    `basis` is where a shared-basis adapter finds what it names. Raises BrokenAdapter for a file that is missing, cut short,
    pickled, not finite or of a kind that cannot be served, and WrongBase when the file names another base than
    `base_fingerprint`.
    """
    config = read_config(folder)
    kind = config.get("peft_type")
    if kind not in (lora_file.PEFT_TYPE, core_file.PEFT_TYPE, ia3_file.PEFT_TYPE):
        raise BrokenAdapter(
            f"{folder} holds an adapter of kind {kind!r}.", fix="LoRA, IA3 and shared-basis adapters can be served."
        )
    tensors, metadata = _read_tensors(folder / WEIGHTS_NAME)
    made_for = metadata.get(FINGERPRINT_KEY)
    if base_fingerprint and made_for and made_for != base_fingerprint:
        raise WrongBase(
            f"The adapter in {folder} was trained on the base {made_for[:12]}, not on {base_fingerprint[:12]}.",
            fix="Serve it with the base that it was trained on, or train it again on this one.",
        )
    name = content_hash(folder)
    if kind == core_file.PEFT_TYPE:
        found = core_file.basis_of(config, folder, basis)
        return CoreAdapter(name, found, made_for, core_file.cores(tensors, found, folder, dtype))
    if kind == ia3_file.PEFT_TYPE:
        return Ia3Adapter(name, ia3_file.shape_of(config, folder), made_for, ia3_file.scales(tensors, folder, dtype))
    shape = lora_file.shape_of(config, folder)
    return LoraAdapter(name, shape, made_for, lora_file.factors(tensors, shape, folder, dtype))


def kind_of(adapter: Adapter) -> AdapterKind:
    if isinstance(adapter, Ia3Adapter):
        return AdapterKind.IA3
    return AdapterKind.SHARED_BASIS if isinstance(adapter, CoreAdapter) else AdapterKind.LORA


def as_lora(adapter: Adapter) -> LoraAdapter:
    """The LoRA that computes the same. Raises BrokenAdapter for a kind that has none."""
    if isinstance(adapter, Ia3Adapter):
        raise BrokenAdapter(
            "An IA3 adapter multiplies what its base computes: no LoRA does the same.",
            fix="Export it in the form peft, which keeps the kind.",
        )
    return adapter.expanded() if isinstance(adapter, CoreAdapter) else adapter


def read_config(folder: Path) -> dict[str, Any]:
    """`adapter_config.json` as a dict. Raises BrokenAdapter."""
    try:
        config = json.loads(_existing(folder / CONFIG_NAME).read_text("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BrokenAdapter(f"{folder / CONFIG_NAME} is not JSON: {error}.", fix="Export the adapter again.") from error
    if not isinstance(config, dict):
        raise BrokenAdapter(f"{folder / CONFIG_NAME} is not a JSON object.", fix="Export the adapter again.")
    return config


def _contents(shape: AdapterShape, factors: Factors) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What is a kind's own in the two files."""
    if isinstance(shape, CoreShape):
        return core_file.config_of(shape), core_file.tensors_of(shape, factors)
    if isinstance(shape, Ia3Shape):
        return ia3_file.config_of(shape), ia3_file.tensors_of(factors)
    return lora_file.config_of(shape), lora_file.tensors_of(factors)


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Raises BrokenAdapter for a file that is not whole, or holds numbers that are none."""
    try:
        with safe_open(_existing(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise _not_whole(path, error) from error
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise BrokenAdapter(
                f"{name} in {path.parent} has values that are not finite.", fix="Train the adapter again."
            )
    return tensors, metadata


def _parts(path: Path) -> tuple[bytes, bytes]:
    """A safetensors file as its header, in canonical form, and its tensors' bytes."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _not_whole(path, error) from error
    return json.dumps(header, sort_keys=True).encode(), data[8 + length :]


def _not_whole(path: Path, error: Exception) -> BrokenAdapter:
    return BrokenAdapter(f"{path} is not a whole safetensors file: {error}.", fix="Export the adapter again.")


def _existing(path: Path) -> Path:
    if not path.is_file():
        pickled = path.with_suffix(".bin").is_file()
        raise BrokenAdapter(
            f"{path} is missing" + (", and a pickled .bin stands in its place." if pickled else "."),
            fix="Save the adapter as safetensors; pickle files can run code and are never read.",
        )
    return path
