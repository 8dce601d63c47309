"""LoRA and rsLoRA as PEFT's `LoraConfig` and its files have them; `peft` reads and writes them unchanged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chiliad.adapters.lora import LoraShape
from chiliad.adapters.names import module_name, module_pattern, no_such_module, refuse_options, targets_of
from chiliad.errors import BrokenAdapter

PEFT_TYPE = "LORA"

_TENSOR_NAME = module_pattern(r"lora_([AB])(?:\.default)?\.weight")
_PLAIN: tuple[tuple[str, Any], ...] = (
    ("use_dora", False),
    ("bias", "none"),
    ("modules_to_save", None),
    ("rank_pattern", {}),
    ("alpha_pattern", {}),
)


def config_of(shape: LoraShape) -> dict[str, Any]:
    return {
        "peft_type": PEFT_TYPE,
        "r": shape.rank,
        "lora_alpha": shape.alpha,
        "use_rslora": shape.rslora,
        "target_modules": sorted(shape.targets),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
    }


def tensors_of(factors: Mapping[tuple[int, str], tuple[Tensor, ...]]) -> dict[str, Tensor]:
    """factors: A [rank, in] and B [out, rank], unscaled."""
    return {
        f"{module_name(*key)}.lora_{letter}.weight": tensor
        for key, pair in factors.items()
        for letter, tensor in zip("AB", pair, strict=True)
    }


def shape_of(config: Mapping[str, Any], folder: Path) -> LoraShape:
    """Raises BrokenAdapter for options that change what is computed."""
    refuse_options(config, _PLAIN, folder)
    try:
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
        if rank < 1 or not math.isfinite(alpha):
            raise ValueError("no sizes")
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenAdapter(f"{folder} has no usable r and lora_alpha.", fix="Export it again.") from error
    return LoraShape(rank, alpha, bool(config.get("use_rslora")), targets_of(config))


def factors(
    tensors: Mapping[str, Tensor], shape: LoraShape, folder: Path, dtype: torch.dtype
) -> dict[tuple[int, str], tuple[Tensor, Tensor]]:
    """(layer, site) -> A and B, the scale folded into B. Raises BrokenAdapter."""
    halves: dict[tuple[int, str], dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        match = _TENSOR_NAME.match(name)
        if match is None:
            raise no_such_module(name, folder)
        halves.setdefault((int(match[1]), match[2]), {})[match[3]] = tensor
    broken = [key for key, half in halves.items() if len(half) != 2 or half["A"].shape[0] != half["B"].shape[1]]
    if broken or not halves:
        raise BrokenAdapter(f"{folder} lacks matching A and B factors {broken[:1]}.", fix="Export the adapter again.")
    return {key: (half["A"].to(dtype), (half["B"].float() * shape.scale).to(dtype)) for key, half in halves.items()}
