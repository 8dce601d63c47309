"""The Gemma 3 decoder for text: norms before and after each half, scaled embeddings, GELU, and two kinds of layers.

Most layers see a short window and turn by a small rope base; every few there is one that sees everything and turns by a
large one. Source: Gemma Team 2025 (arXiv 2503.19786).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from chiliad.models.ops import rms_norm, rotate
from chiliad.models.transformer import (
    Group,
    Heads,
    KeepLayer,
    Layer,
    Project,
    Take,
    Transformer,
    TransformerConfig,
    Turn,
    as_read,
    read_groups,
    turn_at,
    windows_of,
)


@dataclass(frozen=True)
class Gemma3Config(TransformerConfig):
    """local_theta: the rope base of layers with a window, `rope_theta` that of the others; query_scalar: attention is
    scaled by its square root's inverse, in place of head_dim's"""

    local_theta: float = 10_000.0
    query_scalar: float = 256.0

    @classmethod
    def fields_of(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **super().fields_of(config),
            "windows": windows_of(config),
            "rope_theta": float(config["rope_theta"]),
            "local_theta": float(config["rope_local_base_freq"]),
            "query_scalar": float(config["query_pre_attn_scalar"]),
        }


@dataclass(frozen=True)
class Gemma3Layer(Layer):
    """q_norm, k_norm: [head_dim]; after_attention, after_mlp: [hidden], on what a half adds to the residual stream"""

    q_norm: Tensor
    k_norm: Tensor
    after_attention: Tensor
    after_mlp: Tensor


class Gemma3(Transformer):
    config: Gemma3Config
    layers: Sequence[Gemma3Layer]

    def __init__(
        self,
        config: Gemma3Config,
        tensors: Mapping[str, Tensor],
        dtype: torch.dtype = torch.bfloat16,
        keep: KeepLayer = as_read,
    ) -> None:
        super().__init__(config, tensors, dtype, keep)
        self.local_cos, self.local_sin = self.rotary_tables(config.local_theta)

    def embed(self, ids: Tensor) -> Tensor:
        scale = torch.tensor(self.config.hidden_size**0.5).to(self.dtype)  # rounded, as the model was trained
        return F.embedding(ids, self.embedding) * scale

    def turns(self, positions: Tensor) -> list[Turn]:
        near, far = (turn_at(*t, positions) for t in ((self.local_cos, self.local_sin), (self.cos, self.sin)))
        return [near if self.config.window(layer) else far for layer in range(self.config.num_layers)]

    def heads(self, layer: int, x: Tensor, turn: Turn, project: Project) -> Heads:
        weights, c = self.layers[layer], self.config
        q, k, v = self.split(project(layer, Group.QKV, self.norm(x, weights.attention_norm)))
        q = rotate(self.norm(q, weights.q_norm), *turn) * (c.head_dim / c.query_scalar) ** 0.5
        return q, rotate(self.norm(k, weights.k_norm), *turn), v

    def rest(self, layer: int, x: Tensor, seen: Tensor, project: Project) -> Tensor:
        weights = self.layers[layer]
        x = x + self.norm(project(layer, Group.O, seen), weights.after_attention)
        gate, up = project(layer, Group.GATE_UP, self.norm(x, weights.mlp_norm)).chunk(2, dim=-1)
        gated = F.gelu(gate, approximate="tanh") * up
        return x + self.norm(project(layer, Group.DOWN, gated), weights.after_mlp)

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """x * scale * (1 + weight), all in float32."""
        return rms_norm(x.float(), 1 + weight.float(), self.config.rms_norm_eps).to(x.dtype)

    def read_layer(self, index: int, take: Take) -> Gemma3Layer:
        prefix = f"model.layers.{index}"
        return Gemma3Layer(
            attention_norm=take(f"{prefix}.input_layernorm.weight"),
            mlp_norm=take(f"{prefix}.pre_feedforward_layernorm.weight"),
            weights=read_groups(index, take),
            q_norm=take(f"{prefix}.self_attn.q_norm.weight"),
            k_norm=take(f"{prefix}.self_attn.k_norm.weight"),
            after_attention=take(f"{prefix}.post_attention_layernorm.weight"),
            after_mlp=take(f"{prefix}.post_feedforward_layernorm.weight"),
        )
