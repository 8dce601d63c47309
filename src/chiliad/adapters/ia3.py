"""IA3 (Liu et al. 2022, arXiv 2205.05638): a factor for every key, every value, and every number that enters down_proj."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from chiliad.adapters.lora import AdapterHash

IA3_SITES = ("k_proj", "v_proj", "down_proj")
FEEDFORWARD = "down_proj"
"""whose input is multiplied; of the others it is the output"""


@dataclass(frozen=True)
class Ia3Shape:
    targets: tuple[str, ...] = IA3_SITES


@dataclass(frozen=True)
class Ia3Adapter:
    """scales: (layer, site) -> what the site's output, or down_proj's input, is multiplied by [width]"""

    hash: AdapterHash
    shape: Ia3Shape
    base_fingerprint: str | None
    scales: Mapping[tuple[int, str], Tensor]
    invocation: ClassVar[tuple[int, ...]] = ()

    @property
    def bytes(self) -> int:
        return sum(scale.numel() * scale.element_size() for scale in self.scales.values())

    def unscaled(self) -> dict[tuple[int, str], tuple[Tensor]]:
        """(layer, site) -> factors, float32: what training starts from."""
        return {key: (scale.float(),) for key, scale in self.scales.items()}
