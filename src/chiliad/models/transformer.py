"""What every decoder here has in common: its sizes, its frozen weights, and the order in which tokens go through it.

An architecture (`llama.py`, `gemma3.py` ...) says what happens before attention and after it. Two things are handed in,
because training and serving do them differently: `attend` (which tokens see which) and `project` (a base matrix, with
whatever an adapter adds to it). Both have a plain default, so `model.hidden(ids, positions)` is the readable reference.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from chiliad.errors import BrokenBase
from chiliad.models.ops import rms_norm


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

Heads = tuple[Tensor, Tensor, Tensor]
"""queries, keys and values as `Attend` takes them"""

Turn = tuple[Tensor, Tensor]
"""cos and sin of the tokens' positions, each [tokens, 1, head_dim]"""

Take = Callable[[str], Tensor]
"""a tensor of a checkpoint by its name there, in the model's precision; raises BrokenBase where it is missing"""


@dataclass(frozen=True)
class TransformerConfig:
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
    windows: tuple[int | None, ...] = ()
    """for each layer the last tokens that one sees, itself included; None: all of them. Empty: None for every layer"""

    @classmethod
    def from_hf(cls, config: Mapping[str, Any]) -> Self:
        """Read the fields of a Hugging Face `config.json`."""
        return cls(**cls.fields_of(config))

    @classmethod
    def fields_of(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """The constructor's arguments. An architecture adds its own."""
        heads = int(config["num_attention_heads"])
        rope = config.get("rope_parameters") or {}
        return {
            "hidden_size": int(config["hidden_size"]),
            "intermediate_size": int(config["intermediate_size"]),
            "num_layers": int(config["num_hidden_layers"]),
            "num_heads": heads,
            "num_kv_heads": int(config.get("num_key_value_heads") or heads),
            "head_dim": int(config.get("head_dim") or int(config["hidden_size"]) // heads),
            "vocab_size": int(config["vocab_size"]),
            "max_position_embeddings": int(config["max_position_embeddings"]),
            "rope_theta": float(config.get("rope_theta") or rope.get("rope_theta") or 10_000.0),
            "rms_norm_eps": float(config["rms_norm_eps"]),
            "tied": bool(config.get("tie_word_embeddings", False)),
        }

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

    def window(self, layer: int) -> int | None:
        """How many of the last tokens one sees in this layer, itself included; None for all."""
        return self.windows[layer] if self.windows else None


@dataclass(frozen=True)
class Layer:
    """Frozen tensors of one layer. attention_norm, mlp_norm: [hidden], before the two halves; weights: [out, in]."""

    attention_norm: Tensor
    mlp_norm: Tensor
    weights: Mapping[Group, Tensor]


KeepLayer = Callable[[int, Layer], Layer]
"""(index, a layer as it was read) -> what the model keeps of it"""


def as_read(_: int, layer: Layer) -> Layer:
    return layer


class Transformer(ABC):
    """Frozen weights and the forward pass. Holds no state between calls and may be shared by threads.

    layers: what `read_layer` has given; cos, sin: [positions, head_dim]
    """

    config: TransformerConfig
    layers: Sequence[Layer]

    def __init__(
        self,
        config: TransformerConfig,
        tensors: Mapping[str, Tensor],
        dtype: torch.dtype = torch.bfloat16,
        keep: KeepLayer = as_read,
    ) -> None:
        """tensors: by the names of a checkpoint. Raises BrokenBase when one is missing."""

        def take(name: str) -> Tensor:
            if name not in tensors:
                raise BrokenBase(f"The base has no tensor {name}.", fix="Pull a complete copy of this base.")
            return tensors[name].to(dtype)

        self.config = config
        self.dtype = dtype
        self.embedding = take("model.embed_tokens.weight")
        self.head = self.embedding if config.tied else take(head_name(config))
        self.final_norm = take("model.norm.weight")
        self.layers = [keep(index, self.read_layer(index, take)) for index in range(config.num_layers)]
        self.cos, self.sin = self.rotary_tables(config.rope_theta)

    @abstractmethod
    def heads(self, layer: int, x: Tensor, turn: Turn, project: Project) -> Heads:
        """What comes before attention: x [tokens, hidden] -> what it attends with."""

    @abstractmethod
    def rest(self, layer: int, x: Tensor, seen: Tensor, project: Project) -> Tensor:
        """What comes after it: x [tokens, hidden], seen [tokens, heads * head_dim] -> the layer's result, as x."""

    def read_layer(self, index: int, take: Take) -> Layer:
        prefix = f"model.layers.{index}"
        return Layer(
            attention_norm=take(f"{prefix}.input_layernorm.weight"),
            mlp_norm=take(f"{prefix}.post_attention_layernorm.weight"),
            weights=read_groups(index, take),
        )

    @classmethod
    def load(
        cls,
        folder: Path,
        config: TransformerConfig,
        dtype: torch.dtype = torch.bfloat16,
        device: str = "cpu",
        keep: KeepLayer = as_read,
    ) -> Self:
        """Read `model.safetensors` of a converted base. Raises BrokenBase when a tensor is missing or cut short."""
        try:
            tensors = load_file(folder / "model.safetensors", device=device)
        except (OSError, SafetensorError) as error:
            raise BrokenBase(
                f"The weights in {folder} cannot be read: {error}.", fix="Remove this base and pull it again."
            ) from error
        return cls(config, tensors, dtype, keep)

    def weight(self, layer: int, group: Group) -> Tensor:
        """The frozen matrix of a group, [out, in]."""
        return self.layers[layer].weights[group]

    def bias(self, layer: int, group: Group) -> Tensor | None:
        """What a group's layers add to their products, [out]."""
        return None

    def weights(self) -> Iterator[tuple[tuple[int, str], Tensor]]:
        """(layer, site), the frozen matrix of a linear layer [out, in]."""
        for layer in range(self.config.num_layers):
            for group in Group:
                parts = self.weight(layer, group).split(self.config.group_widths(group)[1])
                yield from (((layer, site), part) for site, part in zip(group.sites, parts, strict=True))

    def project(self, layer: int, group: Group, x: Tensor) -> Tensor:
        """The base without any adapter."""
        return F.linear(x, self.weight(layer, group), self.bias(layer, group))

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
        attend, project = attend or self.attend_causal, project or self.project
        x = self.embed(ids).requires_grad_(track_gradient)
        for layer, turn in enumerate(self.turns(positions)):
            seen = attend(layer, *self.heads(layer, x, turn, project))
            if keep is not None and layer == self.config.num_layers - 1:
                x, seen = x[keep], seen[keep]
            x = self.rest(layer, x, seen, project)
        return self.norm(x, self.final_norm)

    def logits(self, hidden: Tensor) -> Tensor:
        """[n, hidden] -> [n, vocab], float32."""
        return F.linear(hidden, self.head).float()

    def embed(self, ids: Tensor) -> Tensor:
        """[tokens] -> [tokens, hidden]"""
        return F.embedding(ids, self.embedding)

    def turns(self, positions: Tensor) -> list[Turn]:
        """For each layer."""
        return [turn_at(self.cos, self.sin, positions)] * self.config.num_layers

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return rms_norm(x, weight, self.config.rms_norm_eps)

    def split(self, qkv: Tensor) -> Heads:
        """[tokens, out] of `Group.QKV` -> [tokens, heads, head_dim] of each site."""
        q, k, v = (
            part.unflatten(-1, (-1, self.config.head_dim))
            for part in qkv.split(self.config.group_widths(Group.QKV)[1], dim=-1)
        )
        return q, k, v

    def attend_causal(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """All tokens are one sequence; each sees itself and those before it, as far as the layer's window reaches."""
        seen = visible(len(q), len(q), self.config.window(layer)).to(q.device)
        q, k, v = (each.transpose(0, 1) for each in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True).transpose(0, 1).flatten(1)

    def rotary_tables(self, theta: float) -> tuple[Tensor, Tensor]:
        """cos and sin, each [positions, head_dim], computed in float32 and stored in the model's precision.

        Su et al. 2021 (arXiv 2104.09864).
        """
        dim, device = self.config.head_dim, self.embedding.device
        exponents = torch.arange(0, dim, 2, device=device).float() / dim
        positions = torch.arange(self.config.max_position_embeddings, device=device).float()
        angles = torch.outer(positions, theta**-exponents).repeat(1, 2)
        return angles.cos().to(self.dtype), angles.sin().to(self.dtype)


def visible(queries: int, keys: int, window: int | None) -> Tensor:
    """[queries, keys] bool: what each query sees, when the last of them stands at the last key."""
    seen = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
    return seen if window is None else seen.triu(keys - queries - window + 1)


def windows_of(config: Mapping[str, Any]) -> tuple[int | None, ...]:
    """`TransformerConfig.windows` from a `config.json` that says for each layer whether it slides."""
    window, kinds = config.get("sliding_window"), config.get("layer_types") or ()
    windows = tuple(int(window) if window and kind == "sliding_attention" else None for kind in kinds)
    return windows if any(windows) else ()


def turn_at(cos: Tensor, sin: Tensor, positions: Tensor) -> Turn:
    """cos, sin: [positions, head_dim]; positions: [tokens]"""
    return cos[positions].unsqueeze(1), sin[positions].unsqueeze(1)


def random_tensors(config: TransformerConfig, seed: int) -> dict[str, Tensor]:
    """Random weights of a plain Llama under the Hugging Face names, float32, for tests and dry runs."""
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


def head_name(config: TransformerConfig) -> str:
    """What a checkpoint calls the matrix that gives the logits."""
    return "model.embed_tokens.weight" if config.tied else "lm_head.weight"


def weight_names(layer: int, group: Group) -> list[str]:
    """What a checkpoint calls the matrices of a group, in order."""
    return [f"model.layers.{layer}.{group.block}.{site}.weight" for site in group.sites]


def read_groups(layer: int, take: Take) -> dict[Group, Tensor]:
    """A layer's matrices, those of a group one after another along `out`."""
    return {group: torch.cat([take(name) for name in weight_names(layer, group)]) for group in Group}
