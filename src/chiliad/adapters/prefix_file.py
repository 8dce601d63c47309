"""Prefix tuning as PEFT's `PrefixTuningConfig` and its files have it; `peft` reads and writes them unchanged.

One tensor, `prompt_embeddings` [virtual tokens, layers * 2 * kv_heads * head_dim]: of each token the keys and values, layer
by layer. A prefix that PEFT trained through a projection is saved as what came out of it, and so is read like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chiliad.adapters.prefix import BEFORE, VIRTUAL_TOKENS_MAX, PrefixShape
from chiliad.errors import BrokenAdapter

PEFT_TYPE = "PREFIX_TUNING"

_TENSOR = "prompt_embeddings"

Layers = Mapping[tuple[int, str], tuple[Tensor, ...]]


def config_of(shape: PrefixShape, layers: Layers) -> dict[str, Any]:
    _, heads, head_dim = layers[0, BEFORE][0].shape
    return {
        "peft_type": PEFT_TYPE,
        "num_virtual_tokens": shape.virtual_tokens,
        "num_transformer_submodules": 1,
        "num_layers": len(layers),
        "num_attention_heads": heads,
        "token_dim": heads * head_dim,
        "encoder_hidden_size": heads * head_dim,
        "prefix_projection": False,
    }


def tensors_of(layers: Layers) -> dict[str, Tensor]:
    """layers: keys and values [virtual tokens, kv_heads, head_dim]"""
    parts = [part.flatten(1) for layer in range(len(layers)) for part in layers[layer, BEFORE]]
    return {_TENSOR: torch.cat(parts, dim=1)}


def shape_of(config: Mapping[str, Any], folder: Path) -> PrefixShape:
    """Raises BrokenAdapter."""
    count = config.get("num_virtual_tokens")
    if not isinstance(count, int) or not 1 <= count <= VIRTUAL_TOKENS_MAX:
        raise BrokenAdapter(
            f"{folder} has {count} virtual tokens.", fix=f"Train it with 1 to {VIRTUAL_TOKENS_MAX} of them."
        )
    return PrefixShape(count)


def layers(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any], folder: Path, dtype: torch.dtype
) -> dict[tuple[int, str], tuple[Tensor, Tensor]]:
    """(layer, BEFORE) -> keys and values [virtual tokens, kv_heads, head_dim]. Raises BrokenAdapter."""
    try:
        if set(tensors) != {_TENSOR} or config.get("num_transformer_submodules", 1) not in (1, None):
            raise ValueError(f"holds {', '.join(sorted(tensors)) or 'nothing'}")
        sizes = [int(config[name]) for name in ("num_virtual_tokens", "num_layers", "num_attention_heads")]
        tokens, depth, heads = sizes
        head_dim = int(config["token_dim"]) // heads
        both = tensors[_TENSOR].to(dtype).view(tokens, depth, 2, heads, head_dim)
    except (KeyError, TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise BrokenAdapter(
            f"{folder} is no prefix of the size that its configuration says: {error}.", fix="Export the adapter again."
        ) from error
    return {(layer, BEFORE): (both[:, layer, 0], both[:, layer, 1]) for layer in range(depth)}
