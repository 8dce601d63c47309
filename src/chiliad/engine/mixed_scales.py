"""IA3 adapters in a mixed batch: their tokens' keys, values and gated numbers are multiplied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chiliad.adapters import Ia3Adapter
from chiliad.models import Group


@dataclass(frozen=True)
class Scales:
    columns: Mapping[str, slice]
    """where in the fused output of its group each site lies"""
    parts: Sequence[tuple[Ia3Adapter, Sequence[int]]]
    """the adapters, each with its tokens"""

    def before(self, layer: int, group: Group, x: Tensor) -> Tensor:
        """What the group's product reads [tokens, in]."""
        if group is not Group.DOWN:
            return x
        scaled = x.clone()
        for adapter, tokens in self.parts:
            scale = adapter.scales.get((layer, "down_proj"))
            if scale is not None:
                scaled[torch.tensor(tokens)] *= scale
        return scaled

    def after(self, layer: int, group: Group, y: Tensor) -> None:
        """Multiply what the group's product gave [tokens, out], in place."""
        if group is not Group.QKV:
            return
        for adapter, tokens in self.parts:
            for site in ("k_proj", "v_proj"):
                scale = adapter.scales.get((layer, site))
                if scale is not None:
                    y[torch.tensor(tokens), self.columns[site]] *= scale
