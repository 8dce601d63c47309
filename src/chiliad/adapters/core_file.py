"""Shared-basis adapters on disk. PEFT has no such kind, so `peft` refuses the name; an export is a LoRA that it loads.

One tensor for each site, `q_proj.core` [layers, rank, rank]: names of two hundred tensors would be as large as the cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chiliad.adapters.basis import Basis, BasisFolder, BasisHash
from chiliad.adapters.cores import CoreShape
from chiliad.errors import BrokenAdapter

PEFT_TYPE = "SHARED_BASIS"

_END = ".core"


def config_of(shape: CoreShape) -> dict[str, Any]:
    return {
        "peft_type": PEFT_TYPE,
        "r": shape.rank,
        "basis": shape.basis.hash,
        "target_modules": sorted(shape.basis.sites),
    }


def tensors_of(shape: CoreShape, cores: Mapping[tuple[int, str], tuple[Tensor, ...]]) -> dict[str, Tensor]:
    """cores: R [rank, rank]"""
    layers = range(shape.basis.layers)
    return {f"{site}{_END}": torch.stack([cores[layer, site][0] for layer in layers]) for site in shape.basis.sites}


def basis_of(config: Mapping[str, Any], folder: Path, known: BasisFolder | None) -> Basis:
    """What the cores are between. Raises BrokenAdapter."""
    name = config.get("basis")
    if known is None or not isinstance(name, str) or not name.isalnum():
        raise BrokenAdapter(
            f"{folder} holds the cores of an adapter and not the basis that it shares with others.",
            fix="Export it from the workspace that it is in: that makes a LoRA which needs nothing else.",
        )
    return known.get(BasisHash(name))


def cores(tensors: Mapping[str, Tensor], basis: Basis, folder: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    """site -> R [layers, rank, rank]. Raises BrokenAdapter unless there is one for every site of the basis."""
    shape = (basis.layers, basis.rank, basis.rank)
    found = {name.removesuffix(_END): tensor for name, tensor in tensors.items()}
    if found.keys() != set(basis.sites) or any(tensor.shape != shape for tensor in found.values()):
        raise BrokenAdapter(
            f"{folder} has other cores than its basis {basis.hash[:12]} has room for.", fix="Train the adapter again."
        )
    return {site: found[site].to(dtype) for site in basis.sites}
