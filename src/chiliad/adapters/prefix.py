"""Prefix tuning (Li and Liang 2021, arXiv 2101.00190): in every layer keys and values before those of the tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from chiliad.adapters.lora import AdapterHash

VIRTUAL_TOKENS_MAX = 256
"""they take memory and attention like a prompt of that length"""

BEFORE = "prefix"
"""what stands for a site: the prefix of a layer belongs to none of its linear layers"""


@dataclass(frozen=True)
class PrefixShape:
    virtual_tokens: int


@dataclass(frozen=True)
class PrefixAdapter:
    """layers: (layer, BEFORE) -> keys, already rotated, and values, each [virtual tokens, kv_heads, head_dim]

    They stand at the first positions, so that a sequence's own tokens begin at `shape.virtual_tokens`.
    """

    hash: AdapterHash
    shape: PrefixShape
    base_fingerprint: str | None
    layers: Mapping[tuple[int, str], tuple[Tensor, Tensor]]
    invocation: ClassVar[tuple[int, ...]] = ()

    @property
    def bytes(self) -> int:
        return sum(part.nbytes for pair in self.layers.values() for part in pair)

    def unscaled(self) -> dict[tuple[int, str], tuple[Tensor, Tensor]]:
        """(layer, BEFORE) -> keys and values, float32: what training starts from."""
        return {key: (keys.float(), values.float()) for key, (keys, values) in self.layers.items()}
