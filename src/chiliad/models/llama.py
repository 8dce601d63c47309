"""The Llama decoder (SmolLM2, Llama 2 and 3 without rope scaling) over a flat row of tokens.

The model owns the frozen weights, the norms, the rotary embedding and the gated MLP. Two things are handed in, because
training and serving do them differently: `attend` (which tokens see which) and `project` (a base matrix, with whatever an
adapter adds to it). Both have a plain default, so `model.hidden(ids, positions)` is the readable reference.

Source: Touvron et al. 2023 (arXiv 2302.13971); rotary embedding: Su et al. 2021 (arXiv 2104.09864).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from chiliad.errors import BrokenBase
from chiliad.models.ops import rms_norm, rotate, swiglu


class Group(Enum):
    """Linear layers that read the same input and are therefore one matrix product."""

    QKV = ("q_proj", "k_proj", "v_proj")
    O = ("o_proj",)  # noqa: E741 - the field's name for the attention output
    GATE_UP = ("gate_proj", "up_proj")
    DOWN = ("down_proj",)

    @property
    def sites(self) -> tuple[str, ...]:
        return cast(tuple[str, ...], self.value)

    @property
    def block(self) -> str:
        return "self_attn" if self in (Group.QKV, Group.O) else "mlp"


SITES: tuple[str, ...] = tuple(site for group in Group for site in group.sites)

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, q [tokens, heads, head_dim], k [tokens, kv_heads, head_dim], v as k) -> [tokens, heads * head_dim]"""

Project = Callable[[int, Group, Tensor], Tensor]
"""(layer, group, x [tokens, in]) -> [tokens, out], the group's sites side by side along `out`"""


@dataclass(frozen=True)
class LlamaConfig:
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_position_embeddings: int
    rope_theta: float
    rms_norm_eps: float
    tied: bool

    @classmethod
    def from_hf(cls, config: Mapping[str, Any]) -> LlamaConfig:
        """Read the fields of a Hugging Face `config.json`."""
        heads = int(config["num_attention_heads"])
        rope = config.get("rope_parameters") or {}
        return cls(
            hidden_size=int(config["hidden_size"]),
            intermediate_size=int(config["intermediate_size"]),
            num_layers=int(config["num_hidden_layers"]),
            num_heads=heads,
            num_kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or int(config["hidden_size"]) // heads),
            vocab_size=int(config["vocab_size"]),
            max_position_embeddings=int(config["max_position_embeddings"]),
            rope_theta=float(config.get("rope_theta") or rope.get("rope_theta") or 10_000.0),
            rms_norm_eps=float(config["rms_norm_eps"]),
            tied=bool(config.get("tie_word_embeddings", False)),
        )

    def widths(self, site: str) -> tuple[int, int]:
        """(in, out) of a linear layer."""
        hidden, kv = self.hidden_size, self.num_kv_heads * self.head_dim
        return {
            "q_proj": (hidden, self.num_heads * self.head_dim),
            "k_proj": (hidden, kv),
            "v_proj": (hidden, kv),
            "o_proj": (self.num_heads * self.head_dim, hidden),
            "gate_proj": (hidden, self.intermediate_size),
            "up_proj": (hidden, self.intermediate_size),
            "down_proj": (self.intermediate_size, hidden),
        }[site]

    def scaled_width(self, site: str) -> int:
        """How many numbers IA3 multiplies at a site: its outputs, or down_proj's inputs."""
        width_in, width_out = self.widths(site)
        return width_in if site == "down_proj" else width_out

    def group_widths(self, group: Group) -> tuple[int, list[int]]:
        """(in, [out of each site]) of a fused group."""
        return self.widths(group.sites[0])[0], [self.widths(site)[1] for site in group.sites]


@dataclass(frozen=True)
class _Layer:
    attention_norm: Tensor
    mlp_norm: Tensor
    weights: dict[Group, Tensor]


class Llama:
    """Frozen weights and the forward pass. Holds no state between calls and may be shared by threads."""

    def __init__(self, config: LlamaConfig, tensors: Mapping[str, Tensor], dtype: torch.dtype = torch.bfloat16) -> None:
        self.config = config
        self.dtype = dtype
        self.embedding = _take(tensors, "model.embed_tokens.weight", dtype)
        self.head = self.embedding if config.tied else _take(tensors, head_name(config), dtype)
        self.final_norm = _take(tensors, "model.norm.weight", dtype)
        self.layers = [_layer(tensors, i, dtype) for i in range(config.num_layers)]
        self.cos, self.sin = _rotary_tables(config, dtype, self.embedding.device)

    @classmethod
    def load(cls, folder: Path, config: LlamaConfig, dtype: torch.dtype = torch.bfloat16, device: str = "cpu") -> Llama:
        """Read `model.safetensors` of a converted base. Raises BrokenBase when a tensor is missing or cut short."""
        try:
            tensors = load_file(folder / "model.safetensors", device=device)
        except (OSError, SafetensorError) as error:
            raise BrokenBase(
                f"The weights in {folder} cannot be read: {error}.", fix="Remove this base and pull it again."
            ) from error
        return cls(config, tensors, dtype)

    @classmethod
    def random(cls, config: LlamaConfig, seed: int, dtype: torch.dtype = torch.float32) -> Llama:
        """A base with small random weights, for tests and dry runs."""
        return cls(config, random_tensors(config, seed), dtype)

    def weight(self, layer: int, group: Group) -> Tensor:
        """The frozen matrix of a group, [out, in]."""
        return self.layers[layer].weights[group]

    def weights(self) -> Iterator[tuple[tuple[int, str], Tensor]]:
        """(layer, site), the frozen matrix of a linear layer [out, in]."""
        for layer in range(self.config.num_layers):
            for group in Group:
                parts = self.weight(layer, group).split(self.config.group_widths(group)[1])
                yield from (((layer, site), part) for site, part in zip(group.sites, parts, strict=True))

    def project(self, layer: int, group: Group, x: Tensor) -> Tensor:
        """The base without any adapter."""
        return F.linear(x, self.weight(layer, group))

    def hidden(
        self,
        ids: Tensor,
        positions: Tensor,
        attend: Attend | None = None,
        project: Project | None = None,
        *,
        keep: Tensor | None = None,
        track_gradient: bool = False,
    ) -> Tensor:
        """Run the decoder over `ids` [tokens] at `positions` [tokens]; returns [tokens, hidden] after the last norm.

        Without `attend`, the tokens are one sequence and attention is causal. `keep`: [kept] the tokens whose result is
        wanted, [kept, hidden]; the others take part until the last attention has seen them. `track_gradient` makes the
        embedded tokens the leaf from which autograd starts: the base itself is frozen.
        """
        attend, project = attend or attend_causal, project or self.project
        cos, sin = self.cos[positions].unsqueeze(1), self.sin[positions].unsqueeze(1)
        x = F.embedding(ids, self.embedding).requires_grad_(track_gradient)
        for i, layer in enumerate(self.layers):
            seen = self._attention(i, self._norm(x, layer.attention_norm), cos, sin, attend, project)
            if keep is not None and i == len(self.layers) - 1:
                x, seen = x[keep], seen[keep]
            x = x + project(i, Group.O, seen)
            x = x + self._mlp(i, self._norm(x, layer.mlp_norm), project)
        return self._norm(x, self.final_norm)

    def logits(self, hidden: Tensor) -> Tensor:
        """[n, hidden] -> [n, vocab], float32."""
        return F.linear(hidden, self.head).float()

    def _attention(self, layer: int, x: Tensor, cos: Tensor, sin: Tensor, attend: Attend, project: Project) -> Tensor:
        c = self.config
        q, k, v = project(layer, Group.QKV, x).split(c.group_widths(Group.QKV)[1], dim=-1)
        q = rotate(q.unflatten(-1, (c.num_heads, c.head_dim)), cos, sin)
        k = rotate(k.unflatten(-1, (c.num_kv_heads, c.head_dim)), cos, sin)
        v = v.unflatten(-1, (c.num_kv_heads, c.head_dim))
        return attend(layer, q, k, v)

    def _mlp(self, layer: int, x: Tensor, project: Project) -> Tensor:
        return project(layer, Group.DOWN, swiglu(project(layer, Group.GATE_UP, x)))

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return rms_norm(x, weight, self.config.rms_norm_eps)


def attend_causal(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """All tokens are one sequence; each sees itself and those before it."""
    heads = F.scaled_dot_product_attention(
        q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1), is_causal=True, enable_gqa=True
    )
    return heads.transpose(0, 1).flatten(1)


def random_tensors(config: LlamaConfig, seed: int) -> dict[str, Tensor]:
    """Random weights under the Hugging Face names, float32."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) / math.sqrt(shape[-1])

    tensors = {
        "model.embed_tokens.weight": draw(config.vocab_size, config.hidden_size),
        "model.norm.weight": 1 + 0.1 * draw(config.hidden_size),
    }
    if not config.tied:
        tensors["lm_head.weight"] = draw(config.vocab_size, config.hidden_size)
    for i in range(config.num_layers):
        tensors[f"model.layers.{i}.input_layernorm.weight"] = 1 + 0.1 * draw(config.hidden_size)
        tensors[f"model.layers.{i}.post_attention_layernorm.weight"] = 1 + 0.1 * draw(config.hidden_size)
        for group in Group:
            for site in group.sites:
                width_in, width_out = config.widths(site)
                tensors[f"model.layers.{i}.{group.block}.{site}.weight"] = draw(width_out, width_in)
    return tensors


def head_name(config: LlamaConfig) -> str:
    """What a checkpoint calls the matrix that gives the logits."""
    return "model.embed_tokens.weight" if config.tied else "lm_head.weight"


def weight_names(layer: int, group: Group) -> list[str]:
    """What a checkpoint calls the matrices of a group, in order."""
    return [f"model.layers.{layer}.{group.block}.{site}.weight" for site in group.sites]


def _layer(tensors: Mapping[str, Tensor], index: int, dtype: torch.dtype) -> _Layer:
    prefix = f"model.layers.{index}"
    return _Layer(
        attention_norm=_take(tensors, f"{prefix}.input_layernorm.weight", dtype),
        mlp_norm=_take(tensors, f"{prefix}.post_attention_layernorm.weight", dtype),
        weights={
            group: torch.cat([_take(tensors, name, dtype) for name in weight_names(index, group)]) for group in Group
        },
    )


def _take(tensors: Mapping[str, Tensor], name: str, dtype: torch.dtype) -> Tensor:
    if name not in tensors:
        raise BrokenBase(f"The base has no tensor {name}.", fix="Pull a complete copy of this base.")
    return tensors[name].to(dtype)


def _rotary_tables(config: LlamaConfig, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """cos and sin, each [positions, head_dim], computed in float32 and stored in `dtype`."""
    exponents = torch.arange(0, config.head_dim, 2, device=device).float() / config.head_dim
    angles = torch.outer(
        torch.arange(config.max_position_embeddings, device=device).float(), config.rope_theta**-exponents
    )
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)
