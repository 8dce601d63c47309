"""Shared-basis adapters in a mixed batch: two products for all their tokens, and between them each token's own core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from chiliad.adapters import Basis, CoreAdapter
from chiliad.models import Group, Llama


def prepared(adapter: CoreAdapter, model: Llama) -> CoreAdapter:
    """In the model's precision, beside the model; the basis is moved once for all that share it."""
    like = model.embedding
    cores = {site: core.to(like) for site, core in adapter.cores.items()}
    return replace(adapter, basis=_beside(adapter.basis, like.dtype, like.device), cores=cores)


@dataclass(frozen=True)
class Cores:
    """Tokens of shared-basis adapters on one basis."""

    basis: Basis
    columns: Mapping[str, slice]
    """where in the fused output of its group each site lies"""
    tokens: Tensor
    owner: Tensor
    """which of the adapters each token has [tokens]"""
    cores: Mapping[str, Tensor]
    """site -> R of the adapters [adapters, layers, rank, rank]"""

    @classmethod
    def of(cls, columns: Mapping[str, slice], parts: Sequence[tuple[CoreAdapter, Sequence[int]]]) -> Cores:
        """parts: the adapters, which share a basis, each with its tokens."""
        basis = parts[0][0].basis
        return cls(
            basis,
            columns,
            torch.tensor([token for _, tokens in parts for token in tokens]),
            torch.tensor([number for number, (_, tokens) in enumerate(parts) for _ in tokens]),
            {site: torch.stack([adapter.cores[site] for adapter, _ in parts]) for site in basis.sites},
        )

    def add(self, layer: int, group: Group, x: Tensor, y: Tensor) -> None:
        """Add U R V x to y [tokens, out]."""
        mine = x[self.tokens]
        for site in group.sites:
            if site in self.cores:
                inner = F.linear(mine, self.basis.downs[site][layer])
                turned = torch.bmm(self.cores[site][self.owner, layer], inner.unsqueeze(2)).squeeze(2)
                y[:, self.columns[site]].index_add_(0, self.tokens, F.linear(turned, self.basis.ups[site][layer]))


@lru_cache(maxsize=8)
def _beside(basis: Basis, dtype: torch.dtype, device: torch.device) -> Basis:
    def moved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {site: tensor.to(device, dtype) for site, tensor in tensors.items()}

    return replace(basis, downs=moved(basis.downs), ups=moved(basis.ups))
