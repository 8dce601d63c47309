"""Shared-basis adapters: y = W x + U R V x, where only the small R is the expert's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from chiliad.adapters.basis import Basis
from chiliad.adapters.lora import AdapterHash, LoraAdapter, LoraShape


@dataclass(frozen=True)
class CoreShape:
    """The cores of all linear layers that a basis has directions for."""

    basis: Basis

    @property
    def rank(self) -> int:
        return self.basis.rank

    @property
    def numbers(self) -> int:
        return len(self.basis.sites) * self.basis.layers * self.rank**2


@dataclass(frozen=True)
class CoreAdapter:
    """cores: site -> R [layers, rank, rank]"""

    hash: AdapterHash
    basis: Basis
    base_fingerprint: str | None
    cores: Mapping[str, Tensor]
    invocation: ClassVar[tuple[int, ...]] = ()

    @property
    def rank(self) -> int:
        return self.basis.rank

    @property
    def shape(self) -> CoreShape:
        return CoreShape(self.basis)

    @property
    def bytes(self) -> int:
        """Its own; the basis is there once for all."""
        return sum(core.numel() * core.element_size() for core in self.cores.values())

    def unscaled(self) -> dict[tuple[int, str], tuple[Tensor]]:
        """(layer, site) -> R, float32: what training starts from."""
        return {key: (self.cores[key[1]][key[0]].float(),) for key, _ in self.basis.pairs()}

    def expanded(self) -> LoraAdapter:
        """The LoRA that computes the same, A = V and B = U R, float32."""
        factors = {
            (layer, site): (down.float(), up.float() @ self.cores[site][layer].float())
            for (layer, site), (down, up) in self.basis.pairs()
        }
        shape = LoraShape(self.rank, float(self.rank), False, self.basis.sites)
        return LoraAdapter(self.hash, shape, self.base_fingerprint, factors)
