"""The Llama decoder (SmolLM2, Llama 2 and 3 without rope scaling): rotary embedding, pre-norms, a gated MLP.

Source: Touvron et al. 2023 (arXiv 2302.13971).
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from chiliad.models.ops import rotate, swiglu
from chiliad.models.transformer import (
    Group,
    Heads,
    Project,
    Transformer,
    TransformerConfig,
    Turn,
    random_tensors,
)


class LlamaConfig(TransformerConfig):
    """All of it is common to every architecture."""


class Llama(Transformer):
    def heads(self, layer: int, x: Tensor, turn: Turn, project: Project) -> Heads:
        normed = self.norm(x, self.layers[layer].attention_norm)
        q, k, v = self.split(project(layer, Group.QKV, normed))
        return rotate(q, *turn), rotate(k, *turn), v

    def rest(self, layer: int, x: Tensor, seen: Tensor, project: Project) -> Tensor:
        x = x + project(layer, Group.O, seen)
        normed = self.norm(x, self.layers[layer].mlp_norm)
        return x + project(layer, Group.DOWN, swiglu(project(layer, Group.GATE_UP, normed)))

    @classmethod
    def random(cls, config: TransformerConfig, seed: int, dtype: torch.dtype = torch.float32) -> Self:
        """A base with small random weights, for tests and dry runs."""
        return cls(config, random_tensors(config, seed), dtype)
