"""LoRA (Hu et al. 2021, arXiv 2106.09685), rsLoRA (Kalajdzievski 2023, arXiv 2312.03732) and activated LoRA (Greenewald
et al. 2025, arXiv 2504.12397) as plain tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NewType

from torch import Tensor

AdapterHash = NewType("AdapterHash", str)
"""sha256 of an adapter's files: the only name of an adapter that the engine, its caches and the trainer know"""


@dataclass(frozen=True)
class LoraShape:
    """What PEFT's `adapter_config.json` says about sizes, and from which token on the adapter acts."""

    rank: int
    alpha: float
    rslora: bool
    targets: tuple[str, ...]
    invocation: tuple[int, ...] = ()
    """of an activated LoRA: the tokens from whose last occurrence in a prompt on it acts; of others none"""

    @property
    def scale(self) -> float:
        """What B @ A is multiplied by."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


@dataclass(frozen=True)
class LoraAdapter:
    """An adapter ready to be applied: y = W x + B A x, with the scale already folded into B.

    factors: (layer, site) -> (A [rank, in], B [out, rank])
    """

    hash: AdapterHash
    shape: LoraShape
    base_fingerprint: str | None
    """None for an adapter that was made elsewhere and does not say"""
    factors: Mapping[tuple[int, str], tuple[Tensor, Tensor]]

    @property
    def rank(self) -> int:
        return self.shape.rank

    @property
    def invocation(self) -> tuple[int, ...]:
        return self.shape.invocation

    def unscaled(self) -> dict[tuple[int, str], tuple[Tensor, Tensor]]:
        """The factors as training and PEFT's files have them: without the scale, float32."""
        return {key: (a.float(), b.float() / self.shape.scale) for key, (a, b) in self.factors.items()}

    @property
    def bytes(self) -> int:
        return sum(t.numel() * t.element_size() for pair in self.factors.values() for t in pair)
