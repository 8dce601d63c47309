"""Adapters of one shape, stacked: what a batched matrix product over many of them reads."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import torch
from torch import Tensor

from chiliad.adapters import AdapterHash, LoraAdapter
from chiliad.engine.slots import DenseSlots
from chiliad.models import Group, TransformerConfig

SLOTS_FIRST = 4


@dataclass(frozen=True)
class StackShape:
    """What the adapters in one stack have in common. Nothing is padded to a larger rank."""

    rank: int
    sites: frozenset[str]

    @classmethod
    def of(cls, adapter: LoraAdapter) -> StackShape:
        return cls(adapter.rank, frozenset(site for _, site in adapter.factors))


class Blocks:
    """A group's output cut into blocks of one width, so that sites of unequal width are one batched product."""

    def __init__(self, config: TransformerConfig, group: Group, shape: StackShape) -> None:
        self.width_in, widths = config.group_widths(group)
        self.width = gcd(*widths)
        self.sites = [site for site in group.sites if site in shape.sites]
        owners = [site for site, width in zip(group.sites, widths, strict=True) for _ in range(width // self.width)]
        self.count = len(owners)
        self.of_site = {site: slice(owners.index(site), self.count - owners[::-1].index(site)) for site in self.sites}
        inner = [self.sites.index(owner) if owner in self.sites else 0 for owner in owners]
        self.inner = None if inner == list(range(len(self.sites))) else torch.tensor(inner)
        """which site's inner product each block reads; None when they are one to one"""


class LoraStack:
    """Factors of adapters of one shape, by slot.

    down: group -> [layers, slots, sites * rank, in]; up: group -> [layers, slots, blocks, rank, width], zeros in the
    blocks of a site that is not adapted
    """

    def __init__(self, config: TransformerConfig, shape: StackShape, dtype: torch.dtype, device: torch.device) -> None:
        self.slots: DenseSlots[AdapterHash] = DenseSlots()
        self.rank = shape.rank
        every = {group: Blocks(config, group, shape) for group in Group}
        self.blocks = {group: blocks for group, blocks in every.items() if blocks.sites}

        def zeros(*rest: int) -> Tensor:
            return torch.zeros(config.num_layers, 0, *rest, dtype=dtype, device=device)

        self._down = {g: zeros(len(b.sites) * self.rank, b.width_in) for g, b in self.blocks.items()}
        self._up = {g: zeros(b.count, self.rank, b.width) for g, b in self.blocks.items()}

    def put(self, adapter: LoraAdapter) -> None:
        """Copy an adapter into a free slot."""
        slot = self.slots.place(adapter.hash)
        if slot >= self._capacity:
            self._down = {group: _grown(tensor) for group, tensor in self._down.items()}
            self._up = {group: _grown(tensor) for group, tensor in self._up.items()}
        for group, blocks in self.blocks.items():
            for number, site in enumerate(blocks.sites):
                rows = slice(number * self.rank, (number + 1) * self.rank)
                down, up = self._down[group][:, slot, rows], self._up[group][:, slot, blocks.of_site[site]]
                _put_site(adapter, site, down, up)

    def close_gaps(self) -> None:
        """Make the slots dense; they change their numbers."""
        for _, source, target in self.slots.close_gaps():
            for tensor in (*self._down.values(), *self._up.values()):
                tensor[:, target] = tensor[:, source]

    def add(self, layer: int, group: Group, x: Tensor) -> Tensor:
        """What the adapters in the first slots add to a group's output: x [slots, tokens, in] -> [slots * tokens, out]."""
        slots, tokens, _ = x.shape
        blocks = self.blocks[group]
        inner = torch.bmm(x, self._down[group][layer, :slots].transpose(1, 2)).unflatten(-1, (-1, self.rank))
        if blocks.inner is not None:
            inner = inner.index_select(2, blocks.inner)
        inner = inner.transpose(1, 2).flatten(0, 1)  # [slots * blocks, tokens, rank]
        outer = torch.bmm(inner, self._up[group][layer, :slots].flatten(0, 1))
        return outer.view(slots, blocks.count, tokens, -1).transpose(1, 2).reshape(slots * tokens, -1)

    @property
    def _capacity(self) -> int:
        return next(iter(self._up.values())).shape[1]


def _put_site(adapter: LoraAdapter, site: str, down: Tensor, up: Tensor) -> None:
    """down: [layers, rank, in]; up: [layers, blocks, rank, width]. A layer without this site gets zeros."""
    _, blocks, rank, width = up.shape
    for layer in range(len(down)):
        factors = adapter.factors.get((layer, site))
        if factors is None:
            down[layer], up[layer] = 0, 0
        else:
            down[layer] = factors[0]
            up[layer] = factors[1].view(blocks, width, rank).transpose(1, 2)


def _grown(tensor: Tensor) -> Tensor:
    """Twice the slots."""
    layers, slots, *rest = tensor.shape
    larger = tensor.new_zeros(layers, max(SLOTS_FIRST, 2 * slots), *rest)
    larger[:, :slots] = tensor
    return larger
