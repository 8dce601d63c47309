"""The Qwen3 decoder: Llama with a norm on every head of the queries and keys, and heads of a width of their own.

Source: Yang et al. 2025 (arXiv 2505.09388).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from chiliad.models.llama import Llama
from chiliad.models.ops import rotate
from chiliad.models.qwen2 import Qwen2Config
from chiliad.models.transformer import Group, Heads, Layer, Project, Take, Turn


class Qwen3Config(Qwen2Config):
    """Described by the same settings."""


@dataclass(frozen=True)
class Qwen3Layer(Layer):
    """q_norm, k_norm: [head_dim]"""

    q_norm: Tensor
    k_norm: Tensor


class Qwen3(Llama):
    layers: Sequence[Qwen3Layer]

    def heads(self, layer: int, x: Tensor, turn: Turn, project: Project) -> Heads:
        weights = self.layers[layer]
        q, k, v = self.split(project(layer, Group.QKV, self.norm(x, weights.attention_norm)))
        return rotate(self.norm(q, weights.q_norm), *turn), rotate(self.norm(k, weights.k_norm), *turn), v

    def read_layer(self, index: int, take: Take) -> Qwen3Layer:
        plain, attention = super().read_layer(index, take), f"model.layers.{index}.self_attn"
        norms = (take(f"{attention}.{name}.weight") for name in ("q_norm", "k_norm"))
        return Qwen3Layer(plain.attention_norm, plain.mlp_norm, plain.weights, *norms)
