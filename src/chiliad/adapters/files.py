"""An adapter's folder: `adapter_config.json` and `adapter_model.safetensors`, as PEFT has them wherever PEFT has the kind.

The base's fingerprint, and the precision in which it was trained on, travel in the safetensors header, where PEFT neither
needs nor minds them. What is in the two files is
each kind's own matter: `lora_file.py`, `core_file.py`, `ia3_file.py`, `prefix_file.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from chiliad.adapters import core_file, ia3_file, lora_file, prefix_file
from chiliad.adapters.basis import BasisFolder
from chiliad.adapters.cores import CoreAdapter, CoreShape
from chiliad.adapters.ia3 import Ia3Adapter, Ia3Shape
from chiliad.adapters.kinds import AdapterKind
from chiliad.adapters.lora import AdapterHash, LoraAdapter, LoraShape
from chiliad.adapters.prefix import PrefixAdapter, PrefixShape
from chiliad.adapters.weights_file import Hashed, WeightsFile, size_before
from chiliad.config import Precision
from chiliad.errors import BrokenAdapter, WrongBase

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
FINGERPRINT_KEY = "chiliad.base_fingerprint"
PRECISION_KEY = "chiliad.base_precision"

Adapter = LoraAdapter | CoreAdapter | Ia3Adapter | PrefixAdapter
AdapterShape = LoraShape | CoreShape | Ia3Shape | PrefixShape

Factors = Mapping[tuple[int, str], tuple[Tensor, ...]]
"""(layer, site) -> what the kind has there, unscaled: A and B; R; the factors; or keys and values"""


def save_adapter(
    folder: Path,
    shape: AdapterShape,
    factors: Factors,
    *,
    base_id: str,
    base_fingerprint: str,
    base_precision: Precision = Precision.BF16,
    dtype: torch.dtype = torch.bfloat16,
) -> AdapterHash:
    """Write an adapter into an existing, private folder. `factors` are unscaled, as PEFT stores them.

    Of the kind shared-basis these are the cores alone: the basis has to be in the `BasisFolder` that it is read with.
    """
    config, tensors = _contents(shape, factors)
    about = {"task_type": "CAUSAL_LM", "base_model_name_or_path": base_id, "inference_mode": True}
    (folder / CONFIG_NAME).write_text(json.dumps({**config, **about}, indent=2) + "\n", "utf-8")
    rounded = {name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}
    header = {"format": "pt", FINGERPRINT_KEY: base_fingerprint}
    if base_precision is not Precision.BF16:
        header[PRECISION_KEY] = base_precision.value
    (folder / WEIGHTS_NAME).write_bytes(save(rounded, header))
    return content_hash(folder)


def content_hash(folder: Path) -> AdapterHash:
    """sha256 over both files: equal hashes mean equal answers.

    safetensors writes its header's metadata in any order, so the header counts in sorted form. Raises BrokenAdapter.
    """
    digest = hashlib.sha256()
    _Files.read(folder, digest.update)
    return AdapterHash(digest.hexdigest())


def load_adapter(
    folder: Path,
    *,
    base_fingerprint: str | None = None,
    dtype: torch.dtype = torch.bfloat16,
    basis: BasisFolder | None = None,
) -> Adapter:
    """Read an adapter for serving, a LoRA's scale folded into B. Its files are read once.

    `basis` is where a shared-basis adapter finds what it names. Raises BrokenAdapter for a file that is missing, cut short,
    pickled, not finite or of a kind that cannot be served, and WrongBase when the file names another base than
    `base_fingerprint`.
    """
    digest = hashlib.sha256()
    files = _Files.read(folder, digest.update)
    files.require_base(base_fingerprint)
    return files.adapter(AdapterHash(digest.hexdigest()), dtype, basis)


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter that may be made ready for use at once, and be used after `check`."""

    adapter: Adapter
    check: Callable[[], None] = lambda: None
    """waits until its files are hashed; raises BrokenAdapter if they are not those of its name"""


def begin_loading(
    folder: Path,
    name: AdapterHash,
    *,
    base_fingerprint: str | None = None,
    dtype: torch.dtype = torch.bfloat16,
    basis: BasisFolder | None = None,
) -> LoadedAdapter:
    """`load_adapter` for one whose hash is known: hashing, which takes longest, goes on beside what follows."""
    digest = hashlib.sha256()
    files = _Files.read(folder, lambda part: _beside.submit(digest.update, part))
    found = _beside.submit(digest.hexdigest)
    files.require_base(base_fingerprint)
    return LoadedAdapter(files.adapter(name, dtype, basis), lambda: _require_same(found.result(), name, folder))


_beside = ThreadPoolExecutor(1, thread_name_prefix="chiliad-hash")
"""kept: to start a thread takes a tenth of the time in which somebody waits"""


def _require_same(found: str, name: AdapterHash, folder: Path) -> None:
    if found != name:
        raise BrokenAdapter(
            f"The files in {folder} have changed since they were registered.",
            fix="Bring them back from a backup, or delete this version and train it again.",
        )


@dataclass(frozen=True)
class _Files:
    """An adapter's two files, read once."""

    folder: Path
    config_bytes: bytes
    weights: WeightsFile

    @classmethod
    def read(cls, folder: Path, hashed: Hashed) -> _Files:
        config = _existing(folder / CONFIG_NAME).read_bytes()
        hashed(size_before(config) + config)
        return cls(folder, config, WeightsFile.read(_existing(folder / WEIGHTS_NAME), hashed))

    def require_base(self, fingerprint: str | None) -> None:
        """Raises WrongBase when the file names another one. None: any will do."""
        made_for = self._made_for
        if fingerprint and made_for and made_for != fingerprint:
            raise WrongBase(
                f"The adapter in {self.folder} was trained on the base {made_for[:12]}, not on {fingerprint[:12]}.",
                fix="Serve it with the base that it was trained on, or train it again on this one.",
            )

    def adapter(self, name: AdapterHash, dtype: torch.dtype, basis: BasisFolder | None) -> Adapter:
        """Of whichever kind the files are."""
        folder, config, made_for = self.folder, _parsed(self.config_bytes, self.folder), self._made_for
        kind = config.get("peft_type")
        if kind == lora_file.PEFT_TYPE:
            shape = lora_file.shape_of(config, folder)
            return LoraAdapter(name, shape, made_for, lora_file.factors(self.weights, shape, folder, dtype))
        if kind == core_file.PEFT_TYPE:
            found = core_file.basis_of(config, folder, basis)
            return CoreAdapter(name, found, made_for, core_file.cores(self.weights.tensors(), found, folder, dtype))
        if kind == ia3_file.PEFT_TYPE:
            ia3 = ia3_file.shape_of(config, folder)
            return Ia3Adapter(name, ia3, made_for, ia3_file.scales(self.weights.tensors(), folder, dtype))
        if kind == prefix_file.PEFT_TYPE:
            prefix = prefix_file.shape_of(config, folder)
            layers = prefix_file.layers(self.weights.tensors(), config, folder, dtype)
            return PrefixAdapter(name, prefix, made_for, layers)
        raise BrokenAdapter(
            f"{folder} holds an adapter of kind {kind!r}.",
            fix="LoRA, IA3, prefix tuning and shared-basis adapters can be served.",
        )

    @property
    def _made_for(self) -> str | None:
        return self.weights.header.metadata.get(FINGERPRINT_KEY)


def kind_of(adapter: Adapter) -> AdapterKind:
    if isinstance(adapter, Ia3Adapter):
        return AdapterKind.IA3
    if isinstance(adapter, PrefixAdapter):
        return AdapterKind.PREFIX
    return AdapterKind.SHARED_BASIS if isinstance(adapter, CoreAdapter) else AdapterKind.LORA


def as_lora(adapter: Adapter) -> LoraAdapter:
    """The LoRA that computes the same. Raises BrokenAdapter for a kind that has none."""
    if isinstance(adapter, Ia3Adapter | PrefixAdapter):
        does = "multiplies what its base computes" if isinstance(adapter, Ia3Adapter) else "adds keys and values"
        raise BrokenAdapter(
            f"An adapter of the kind {kind_of(adapter)} {does}: no LoRA does the same.",
            fix="Export it in the form peft, which keeps the kind.",
        )
    return adapter.expanded() if isinstance(adapter, CoreAdapter) else adapter


def always_active(adapter: Adapter) -> Adapter:
    """The adapter, for code that applies it to all tokens. Raises BrokenAdapter for an activated LoRA."""
    if adapter.invocation:
        raise BrokenAdapter(
            "An activated LoRA acts from its invocation tokens on: it can be served, but not merged, trained further, "
            "inspected or compressed.",
            fix="Export it in the form peft, and train it further where it was trained.",
        )
    return adapter


def read_config(folder: Path) -> dict[str, Any]:
    """`adapter_config.json` as a dict. Raises BrokenAdapter."""
    return _parsed(_existing(folder / CONFIG_NAME).read_bytes(), folder)


def _parsed(config_bytes: bytes, folder: Path) -> dict[str, Any]:
    try:
        config = json.loads(config_bytes.decode())
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
    if isinstance(shape, PrefixShape):
        return prefix_file.config_of(shape, factors), prefix_file.tensors_of(factors)
    return lora_file.config_of(shape), lora_file.tensors_of(factors)


def _existing(path: Path) -> Path:
    if not path.is_file():
        pickled = path.with_suffix(".bin").is_file()
        raise BrokenAdapter(
            f"{path} is missing" + (", and a pickled .bin stands in its place." if pickled else "."),
            fix="Save the adapter as safetensors; pickle files can run code and are never read.",
        )
    return path
