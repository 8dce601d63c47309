"""PEFT's adapter folder: `adapter_config.json` and `adapter_model.safetensors`, which `peft` reads and writes unchanged.

The base's fingerprint travels in the safetensors header, where PEFT neither needs nor minds it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from chiliad.adapters.lora import AdapterHash, LoraAdapter, LoraShape
from chiliad.adapters.weights_file import WeightsFile
from chiliad.errors import BrokenAdapter, WrongBase

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
FINGERPRINT_KEY = "chiliad.base_fingerprint"
ATTENTION_SITES = frozenset({"q_proj", "k_proj", "v_proj", "o_proj"})

_TENSOR_NAME = re.compile(
    r"^base_model\.model\.model\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.lora_([AB])(?:\.default)?\.weight$"
)

Factors = Mapping[tuple[int, str], tuple[Tensor, Tensor]]


def save_adapter(
    folder: Path, shape: LoraShape, factors: Factors, *, base_id: str, base_fingerprint: str
) -> AdapterHash:
    """Write an adapter in bf16 into an existing, private folder. `factors` are unscaled, as PEFT stores them."""
    (folder / CONFIG_NAME).write_text(json.dumps(_peft_config(shape, base_id), indent=2) + "\n", "utf-8")
    tensors = {}
    for (layer, site), pair in factors.items():
        for letter, tensor in zip("AB", pair, strict=True):
            tensors[_tensor_name(layer, site, letter)] = tensor.to(torch.bfloat16).contiguous()
    (folder / WEIGHTS_NAME).write_bytes(save(tensors, {"format": "pt", FINGERPRINT_KEY: base_fingerprint}))
    return content_hash(folder)


def content_hash(folder: Path) -> AdapterHash:
    """sha256 over both files: equal hashes mean equal answers.

    safetensors writes its header's metadata in any order, so the header counts in sorted form. Raises BrokenAdapter.
    """
    return _hash(folder, _weights(folder))


def load_adapter(
    folder: Path, *, base_fingerprint: str | None = None, dtype: torch.dtype = torch.bfloat16
) -> LoraAdapter:
    """Read an adapter for serving, its scale folded into B. Its files are read once.

    Raises BrokenAdapter for a file that is missing, cut short, pickled, not finite or of a kind that cannot be served, and
    WrongBase when the file names another base than `base_fingerprint`.
    """
    config = read_config(folder)
    shape = _shape(config, folder)
    weights = _weights(folder)
    made_for = weights.metadata.get(FINGERPRINT_KEY)
    if base_fingerprint and made_for and made_for != base_fingerprint:
        raise WrongBase(
            f"The adapter in {folder} was trained on the base {made_for[:12]}, not on {base_fingerprint[:12]}.",
            fix="Serve it with the base that it was trained on, or train it again on this one.",
        )
    with ThreadPoolExecutor(1) as beside:  # half of the time is the hash's, which needs nobody
        name = beside.submit(_hash, folder, weights)
        factors = {key: _scaled(pair, shape, dtype) for key, pair in _pairs(weights.tensors(), folder).items()}
    return LoraAdapter(name.result(), shape, made_for, factors)


def read_config(folder: Path) -> dict[str, Any]:
    """`adapter_config.json` as a dict. Raises BrokenAdapter."""
    try:
        config = json.loads(_existing(folder / CONFIG_NAME).read_text("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BrokenAdapter(f"{folder / CONFIG_NAME} is not JSON: {error}.", fix="Export the adapter again.") from error
    if not isinstance(config, dict):
        raise BrokenAdapter(f"{folder / CONFIG_NAME} is not a JSON object.", fix="Export the adapter again.")
    return config


def _peft_config(shape: LoraShape, base_id: str) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_id,
        "r": shape.rank,
        "lora_alpha": shape.alpha,
        "use_rslora": shape.rslora,
        "target_modules": sorted(shape.targets),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }


def _shape(config: dict[str, Any], folder: Path) -> LoraShape:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise BrokenAdapter(f"{folder} holds an adapter of kind {kind!r}.", fix="Only LoRA adapters can be served.")
    for option, plain in (
        ("use_dora", False),
        ("bias", "none"),
        ("modules_to_save", None),
        ("rank_pattern", {}),
        ("alpha_pattern", {}),
    ):
        if config.get(option, plain) not in (plain, None, [], {}):
            raise BrokenAdapter(
                f"{folder} uses PEFT's option {option}={config[option]!r}.",
                fix="Train it again without that option, or merge it into its base and pull the result as a base.",
            )
    try:
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
        if rank < 1 or not math.isfinite(alpha):
            raise ValueError("no sizes")
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenAdapter(
            f"{folder / CONFIG_NAME} has no usable r and lora_alpha.", fix="Export it again."
        ) from error
    targets = config.get("target_modules") or ()
    names = (targets,) if isinstance(targets, str) else tuple(sorted(targets))
    return LoraShape(rank, alpha, bool(config.get("use_rslora")), names)


def _weights(folder: Path) -> WeightsFile:
    return WeightsFile.read(_existing(folder / WEIGHTS_NAME))


def _hash(folder: Path, weights: WeightsFile) -> AdapterHash:
    digest = hashlib.sha256()
    for part in (_existing(folder / CONFIG_NAME).read_bytes(), weights.canonical_header, weights.bytes):
        digest.update(f"{len(part)}\0".encode())
        digest.update(part)
    return AdapterHash(digest.hexdigest())


def _pairs(tensors: Mapping[str, Tensor], folder: Path) -> dict[tuple[int, str], tuple[Tensor, Tensor]]:
    halves: dict[tuple[int, str], dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        match = _TENSOR_NAME.match(name)
        if match is None:
            raise BrokenAdapter(
                f"{folder} adapts {name}, which is not a linear layer of a decoder block.",
                fix="Train it on q, k, v, o, gate, up and down projections only.",
            )
        halves.setdefault((int(match[1]), match[2]), {})[match[3]] = tensor
    broken = [key for key, half in halves.items() if len(half) != 2 or half["A"].shape[0] != half["B"].shape[1]]
    if broken or not halves:
        raise BrokenAdapter(f"{folder} lacks matching A and B factors {broken[:1]}.", fix="Export the adapter again.")
    return {key: (half["A"], half["B"]) for key, half in halves.items()}


def _scaled(pair: tuple[Tensor, Tensor], shape: LoraShape, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    a, b = pair
    return a.to(dtype), (b if b.dtype is dtype else b.float()).mul(shape.scale).to(dtype)


def _tensor_name(layer: int, site: str, letter: str) -> str:
    block = "self_attn" if site in ATTENTION_SITES else "mlp"
    return f"base_model.model.model.layers.{layer}.{block}.{site}.lora_{letter}.weight"


def _existing(path: Path) -> Path:
    if not path.is_file():
        pickled = path.with_suffix(".bin").is_file()
        raise BrokenAdapter(
            f"{path} is missing" + (", and a pickled .bin stands in its place." if pickled else "."),
            fix="Save the adapter as safetensors; pickle files can run code and are never read.",
        )
    return path
