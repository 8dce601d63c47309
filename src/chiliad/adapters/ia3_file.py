"""IA3 as PEFT's `IA3Config` and its files have it; `peft` reads and writes them unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chiliad.adapters.ia3 import FEEDFORWARD, IA3_SITES, Ia3Shape
from chiliad.adapters.names import module_name, module_pattern, no_such_module, refuse_options, targets_of
from chiliad.errors import BrokenAdapter

PEFT_TYPE = "IA3"

_TENSOR_NAME = module_pattern(r"ia3_l(?:\.default)?")


def config_of(shape: Ia3Shape) -> dict[str, Any]:
    return {
        "peft_type": PEFT_TYPE,
        "target_modules": sorted(shape.targets),
        "feedforward_modules": [FEEDFORWARD] if FEEDFORWARD in shape.targets else [],
        "fan_in_fan_out": False,
        "modules_to_save": None,
    }


def tensors_of(scales: Mapping[tuple[int, str], tuple[Tensor, ...]]) -> dict[str, Tensor]:
    """scales: [width]. PEFT stores them as columns where they multiply an output, as rows where an input."""
    return {
        f"{module_name(layer, site)}.ia3_l": scale.reshape((1, -1) if site == FEEDFORWARD else (-1, 1))
        for (layer, site), (scale,) in scales.items()
    }


def shape_of(config: Mapping[str, Any], folder: Path) -> Ia3Shape:
    """Raises BrokenAdapter for targets other than PEFT's own for a decoder, which are what can be served."""
    refuse_options(config, [("modules_to_save", None)], folder)
    targets = targets_of(config)
    feedforward = targets_of({"target_modules": config.get("feedforward_modules")})
    if not targets or not {*targets} <= {*IA3_SITES} or {*feedforward} != {*targets} & {FEEDFORWARD}:
        raise BrokenAdapter(
            f"{folder} multiplies at {', '.join(targets)}, of these the inputs of {', '.join(feedforward) or 'none'}.",
            fix="Train it on the outputs of k_proj and v_proj and the input of down_proj, which is PEFT's choice too.",
        )
    return Ia3Shape(tuple(site for site in IA3_SITES if site in targets))


def scales(tensors: Mapping[str, Tensor], folder: Path, dtype: torch.dtype) -> dict[tuple[int, str], Tensor]:
    """(layer, site) -> factors [width]. Raises BrokenAdapter."""
    found = {}
    for name, tensor in tensors.items():
        match = _TENSOR_NAME.match(name)
        if match is None or match[2] not in IA3_SITES:
            raise no_such_module(name, folder)
        found[int(match[1]), match[2]] = tensor.flatten().to(dtype)
    if not found:
        raise BrokenAdapter(f"{folder} multiplies nothing.", fix="Export the adapter again.")
    return found
