"""The trainable state of one expert of the kind shared-basis: its cores, and the LoRA through which a pass sees them.

A pass knows LoRA only: it is given V as A and U R as B, and what it adds to B's gradient comes back as U^T dB, which is R's.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from chiliad.adapters import CoreShape, Factors, LoraShape
from chiliad.models import TransformerConfig
from chiliad.training.lora_state import LoraState


class CoreState:
    """Implements `ExpertState`. Starts at the base model exactly: the cores are zero."""

    def __init__(self, config: TransformerConfig, shape: CoreShape, dtype: torch.dtype) -> None:
        self.shape = shape
        rank, sites = shape.rank, shape.basis.sites
        self.lora = LoraState(config, LoraShape(rank, float(rank), False, sites), dtype, seed=0)
        self.master, self.grad = torch.zeros(shape.numbers), torch.zeros(shape.numbers)
        self._ups = {key: up.float() for key, (_, up) in shape.basis.pairs()}
        pairs = self.lora.factors()
        for key, (down, _) in shape.basis.pairs():
            pairs[key][0].copy_(down)

    @property
    def seen(self) -> LoraState:
        return self.lora

    def factors(self) -> dict[tuple[int, str], tuple[Tensor]]:
        """(layer, site) -> (R,) as views of the master weights."""
        return {key: (core,) for key, core in self._cores(self.master)}

    def load(self, factors: Factors) -> None:
        cores = dict(self._cores(self.master))
        for key, (core,) in factors.items():
            cores[key].copy_(core)
        self.refresh()

    def refresh(self) -> None:
        expanded = self.lora.factors()
        for key, core in self._cores(self.master):
            torch.mm(self._ups[key], core, out=expanded[key][1])
        self.lora.refresh()

    def collect(self) -> None:
        of_up = self.lora.up_gradients()
        for key, core in self._cores(self.grad):
            core.addmm_(self._ups[key].T, of_up[key])
        self.lora.grad.zero_()

    def _cores(self, flat: Tensor) -> Iterator[tuple[tuple[int, str], Tensor]]:
        rank = self.shape.rank
        yield from zip(self._ups, flat.view(-1, rank, rank), strict=True)
