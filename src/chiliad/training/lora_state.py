"""The trainable state of one expert: LoRA factors in one flat float32 vector, with working copies for PyTorch's products.

One vector makes the optimizer step one operation, a checkpoint one tensor, and an expert's memory a multiplication.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from chiliad.adapters import Factors, LoraShape
from chiliad.models import Group, LlamaConfig


@dataclass(frozen=True)
class Site:
    """One adapted linear layer, as views of the flat vectors.

    outputs: where its outputs stand among those of its group; down: A [rank, in]; up: B [out, rank], unscaled.
    """

    outputs: slice
    down: Tensor
    up: Tensor
    down_grad: Tensor
    up_grad: Tensor


@dataclass(frozen=True)
class GroupFactors:
    """Factors of one fused group in compute precision.

    down: [sites * rank, in], the sites' A stacked; up: [out, sites * rank], the sites' B on a block diagonal, scaled.
    """

    down: Tensor
    up: Tensor


class LoraState:
    """Implements `ExpertState`: master weights and gradients of one expert.

    version: grows with every change of the master weights, for those that keep copies.
    """

    def __init__(self, config: LlamaConfig, shape: LoraShape, dtype: torch.dtype, seed: int) -> None:
        self.config, self.shape, self.dtype = config, shape, dtype
        self._places = dict(_places(config, shape))
        size = max(place.up_end for place in self._places.values())
        self.master = torch.zeros(size)
        self.grad = torch.zeros(size)
        self.version = 0
        self._start(seed)
        self._working: dict[tuple[int, Group], GroupFactors] = {}
        self._working_version: int | None = None

    @property
    def parameters(self) -> int:
        return self.master.numel()

    @property
    def seen(self) -> LoraState:
        return self

    def group(self, layer: int, group: Group) -> GroupFactors | None:
        """Working copies of a group's factors, None if it is not adapted."""
        if self._working_version != self.version:
            self._copy()
        return self._working.get((layer, group))

    def sites(self, layer: int, group: Group) -> Iterator[Site]:
        """The adapted linear layers of a group."""
        for site, rows, _ in self._blocks(group):
            place = self._places.get((layer, site))
            if place is not None:
                yield Site(rows, *(half(flat) for flat in (self.master, self.grad) for half in (place.down, place.up)))

    def factors(self) -> dict[tuple[int, str], tuple[Tensor, Tensor]]:
        """(layer, site) -> (A, B) as views of the master weights, unscaled, as PEFT stores them."""
        return {key: (place.down(self.master), place.up(self.master)) for key, place in self._places.items()}

    def up_gradients(self) -> dict[tuple[int, str], Tensor]:
        """(layer, site) -> the gradient of B"""
        return {key: place.up(self.grad) for key, place in self._places.items()}

    def load(self, factors: Factors) -> None:
        """Continue from another adapter's factors, unscaled and of this shape."""
        for key, (down, up) in factors.items():
            self._places[key].down(self.master).copy_(down)
            self._places[key].up(self.master).copy_(up)
        self.refresh()

    def refresh(self) -> None:
        """Call after every change of `master`."""
        self.version += 1

    def collect(self) -> None:
        """Passes add to `grad` itself."""

    def add_gradient(self, layer: int, group: Group, down: Tensor, up: Tensor) -> None:
        """Add gradients of the working copies: down as `GroupFactors.down`, up as `GroupFactors.up`."""
        for site, rows, columns in self._blocks(group):
            place = self._places.get((layer, site))
            if place is not None:
                place.down(self.grad).add_(down[columns])
                place.up(self.grad).add_(up[rows, columns], alpha=self.shape.scale)

    def _copy(self) -> None:
        self._working = self._working or {key: self._empty(*key) for key in self._group_keys()}
        self._working_version = self.version
        scale = self.shape.scale
        for (layer, group), working in self._working.items():
            for site, rows, columns in self._blocks(group):
                place = self._places.get((layer, site))
                if place is not None:
                    working.down[columns] = place.down(self.master).to(self.dtype)
                    working.up[rows, columns] = (place.up(self.master) * scale).to(self.dtype)

    def _start(self, seed: int) -> None:
        """A uniform as in PEFT (Kaiming with a = sqrt 5), B zero: training starts at the base model exactly."""
        generator = torch.Generator().manual_seed(seed)
        for place in self._places.values():
            bound = 1 / math.sqrt(place.width_in)
            place.down(self.master).uniform_(-bound, bound, generator=generator)

    def _group_keys(self) -> Iterator[tuple[int, Group]]:
        for layer in range(self.config.num_layers):
            for group in Group:
                if any((layer, site) in self._places for site in group.sites):
                    yield layer, group

    def _empty(self, layer: int, group: Group) -> GroupFactors:
        width_in, outs = self.config.group_widths(group)
        columns = len(group.sites) * self.shape.rank
        return GroupFactors(
            torch.zeros(columns, width_in, dtype=self.dtype), torch.zeros(sum(outs), columns, dtype=self.dtype)
        )

    def _blocks(self, group: Group) -> Iterator[tuple[str, slice, slice]]:
        """(site, its rows of the output, its columns of the rank axis)"""
        rank, row = self.shape.rank, 0
        for i, (site, out) in enumerate(zip(group.sites, self.config.group_widths(group)[1], strict=True)):
            yield site, slice(row, row + out), slice(i * rank, (i + 1) * rank)
            row += out


@dataclass(frozen=True)
class _Place:
    """Where one site's factors lie in the flat vector."""

    start: int
    rank: int
    width_in: int
    width_out: int

    @property
    def up_start(self) -> int:
        return self.start + self.rank * self.width_in

    @property
    def up_end(self) -> int:
        return self.up_start + self.width_out * self.rank

    def down(self, flat: Tensor) -> Tensor:
        return flat[self.start : self.up_start].view(self.rank, self.width_in)

    def up(self, flat: Tensor) -> Tensor:
        return flat[self.up_start : self.up_end].view(self.width_out, self.rank)


def _places(config: LlamaConfig, shape: LoraShape) -> Iterator[tuple[tuple[int, str], _Place]]:
    start = 0
    for layer in range(config.num_layers):
        for group in Group:
            for site in group.sites:
                if site in shape.targets:
                    place = _Place(start, shape.rank, *config.widths(site))
                    yield (layer, site), place
                    start = place.up_end
