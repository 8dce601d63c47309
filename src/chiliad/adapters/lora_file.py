"""LoRA, rsLoRA and activated LoRA as PEFT's `LoraConfig` and its files have them; `peft` reads and writes them unchanged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chiliad.adapters.lora import LoraShape
from chiliad.adapters.names import module_name, module_pattern, no_such_module, refuse_options, targets_of
from chiliad.adapters.stored_pairs import Key, Place, Places, StoredPairs
from chiliad.adapters.weights_file import HEADERS_KEPT, Header, WeightsFile
from chiliad.errors import BrokenAdapter

PEFT_TYPE = "LORA"

_TENSOR_NAME = module_pattern(r"lora_([AB])(?:\.default)?\.weight")
_PLAIN: tuple[tuple[str, Any], ...] = (
    ("use_dora", False),
    ("bias", "none"),
    ("modules_to_save", None),
    ("rank_pattern", {}),
    ("alpha_pattern", {}),
    ("layer_replication", None),
)
_INVOCATION = "alora_invocation_tokens"
_OTHER_BASES = ("pissa", "corda", "olora", "loftq", "lora_ga")
"""beginnings of `init_lora_weights` with which PEFT takes something out of the base, or rounds it: the factors alone then
belong to a base that nobody has"""


def config_of(shape: LoraShape) -> dict[str, Any]:
    activated = {_INVOCATION: list(shape.invocation)} if shape.invocation else {}
    return {
        "peft_type": PEFT_TYPE,
        "r": shape.rank,
        "lora_alpha": shape.alpha,
        "use_rslora": shape.rslora,
        "target_modules": sorted(shape.targets),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        **activated,
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
    begun = config.get("init_lora_weights")
    if isinstance(begun, str) and begun.lower().startswith(_OTHER_BASES):
        raise BrokenAdapter(
            f"{folder} was begun as {begun}, with a base that was changed for it.",
            fix="Save it with PEFT's path_initial_model_for_weight_conversion, which makes an ordinary LoRA of it.",
        )
    try:
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
        if rank < 1 or not math.isfinite(alpha):
            raise ValueError("no sizes")
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenAdapter(f"{folder} has no usable r and lora_alpha.", fix="Export it again.") from error
    return LoraShape(rank, alpha, bool(config.get("use_rslora")), targets_of(config), _invocation_of(config, folder))


def _invocation_of(config: Mapping[str, Any], folder: Path) -> tuple[int, ...]:
    """Raises BrokenAdapter for what cannot be tokens."""
    tokens = config.get(_INVOCATION)
    if tokens is None:
        return ()
    if not (isinstance(tokens, list) and tokens and all(type(token) is int and token >= 0 for token in tokens)):
        raise BrokenAdapter(
            f"{folder} says {_INVOCATION}={tokens!r}, which are no tokens.",
            fix="Give the ids of the tokens from which on it acts, or null for an adapter that always does.",
        )
    return tuple(tokens)


def factors(
    weights: WeightsFile, shape: LoraShape, folder: Path, dtype: torch.dtype
) -> Mapping[Key, tuple[Tensor, Tensor]]:
    """(layer, site) -> A and B, the scale folded into B: rounded to `dtype` once. Raises BrokenAdapter."""
    names = _names(weights.header, folder)
    numbers = weights.numbers() if dtype is torch.bfloat16 else None
    if numbers is not None:
        return StoredPairs(numbers, _places(weights.header), shape.scale)
    tensors = weights.tensors()
    return {key: (tensors[a].to(dtype), (tensors[b].float() * shape.scale).to(dtype)) for key, (a, b) in names.items()}


def _names(header: Header, folder: Path) -> Mapping[Key, tuple[str, str]]:
    """(layer, site) -> the names of A and B. Raises BrokenAdapter unless everything in the file is such a pair."""
    halves, strange = _halves(header)
    if strange is not None:
        raise no_such_module(strange, folder)
    broken = [key for key, names in halves.items() if not _match(header, names)]
    if broken or not halves:
        raise BrokenAdapter(f"{folder} lacks matching A and B factors {broken[:1]}.", fix="Export the adapter again.")
    return {key: (names["A"], names["B"]) for key, names in halves.items()}


@lru_cache(HEADERS_KEPT)
def _halves(header: Header) -> tuple[dict[Key, dict[str, str]], str | None]:
    """(layer, site) -> half -> its tensor's name; and a name that is none of a half."""
    halves: dict[Key, dict[str, str]] = {}
    for name in header.tensors:
        match = _TENSOR_NAME.match(name)
        if match is None:
            return {}, name
        halves.setdefault((int(match[1]), match[2]), {})[match[3]] = name
    return halves, None


def _match(header: Header, names: Mapping[str, str]) -> bool:
    """Whether these are an A [rank, in] and a B [out, rank]."""
    if names.keys() != {"A", "B"}:
        return False
    a, b = (header.tensors[names[half]]["shape"] for half in "AB")
    return len(a) == len(b) == 2 and a[0] == b[1]


@lru_cache(HEADERS_KEPT)
def _places(header: Header) -> Places:
    """Of a header whose tensors are pairs, and bfloat16 side by side."""

    def place(name: str) -> Place:
        entry = header.tensors[name]
        return Place(entry["data_offsets"][0] // 2, *entry["shape"])

    halves, _ = _halves(header)
    return Places({key: (place(names["A"]), place(names["B"])) for key, names in halves.items()})
