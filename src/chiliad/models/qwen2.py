"""The Qwen2 decoder (Qwen2, Qwen2.5): Llama with biases on queries, keys and values.

Source: Yang et al. 2024 (arXiv 2407.10671).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chiliad.models.llama import Llama
from chiliad.models.transformer import Group, Layer, Take, TransformerConfig, windows_of


class Qwen2Config(TransformerConfig):
    @classmethod
    def fields_of(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        return {**super().fields_of(config), "windows": windows_of(config)}


@dataclass(frozen=True)
class Qwen2Layer(Layer):
    """qkv_bias: [out of q, k and v]"""

    qkv_bias: Tensor


class Qwen2(Llama):
    layers: Sequence[Qwen2Layer]

    def bias(self, layer: int, group: Group) -> Tensor | None:
        return self.layers[layer].qkv_bias if group is Group.QKV else None

    def read_layer(self, index: int, take: Take) -> Qwen2Layer:
        plain = super().read_layer(index, take)
        biases = [take(f"model.layers.{index}.self_attn.{site}.bias") for site in Group.QKV.sites]
        return Qwen2Layer(plain.attention_norm, plain.mlp_norm, plain.weights, torch.cat(biases))
