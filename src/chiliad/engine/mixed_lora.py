"""LoRA for a batch in which every token may have another adapter.

The adapters in use are stacked by shape, each distinct one read once for each layer and step. Nothing is padded to the
largest rank: adapters of another rank or with other targets are another stack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from chiliad.adapters import AdapterHash, LoraAdapter
from chiliad.engine.slots import DenseSlots
from chiliad.errors import BrokenAdapter
from chiliad.models import Group, Llama, LlamaConfig, Project

SEGMENT_MIN = 12
"""tokens of one adapter from which it gets matrix products of its own"""

SLOTS_FIRST = 4


@dataclass(frozen=True)
class Span:
    """Tokens [start, stop) of the batch that have this adapter."""

    start: int
    stop: int
    adapter: LoraAdapter


@dataclass(frozen=True)
class StackShape:
    """What adapters in one stack have in common."""

    rank: int
    sites: frozenset[str]

    @classmethod
    def of(cls, adapter: LoraAdapter) -> StackShape:
        return cls(adapter.rank, frozenset(site for _, site in adapter.factors))

    def sites_in(self, group: Group) -> list[str]:
        return [site for site in group.sites if site in self.sites]


class MixedLora:
    """The adapters that running sequences use, and the projections of a batch of them."""

    def __init__(self, model: Llama, project: Project) -> None:
        self._model = model
        self._project = project
        self._stacks: dict[StackShape, Stack] = {}
        self._users: Counter[AdapterHash] = Counter()
        self._held: dict[AdapterHash, Stack] = {}

    def __len__(self) -> int:
        """Distinct adapters in use."""
        return len(self._held)

    def check(self, adapter: LoraAdapter) -> None:
        """Raises BrokenAdapter when a tensor does not fit the model."""
        config = self._model.config
        for (layer, site), (a, b) in adapter.factors.items():
            known = layer < config.num_layers and any(site in group.sites for group in Group)
            width_in, width_out = config.widths(site) if known else (0, 0)
            if a.shape != (adapter.rank, width_in) or b.shape != (width_out, adapter.rank):
                raise BrokenAdapter(
                    f"The adapter {adapter.hash[:12]} does not fit this base at {site} of layer {layer}.",
                    fix="Serve it with the base that it was trained on.",
                )

    def hold(self, adapter: LoraAdapter) -> None:
        """Keep an adapter stacked until `drop`, once for each sequence."""
        if not self._users[adapter.hash]:
            shape = StackShape.of(adapter)
            if shape not in self._stacks:
                self._stacks[shape] = Stack(self._model.config, shape, self._model.dtype, self._model.embedding.device)
            self._stacks[shape].put(adapter)
            self._held[adapter.hash] = self._stacks[shape]
        self._users[adapter.hash] += 1

    def drop(self, adapter: AdapterHash) -> None:
        self._users[adapter] -= 1
        if not self._users[adapter]:
            del self._users[adapter]
            self._held.pop(adapter).slots.remove(adapter)

    def close_gaps(self) -> None:
        """Make every stack dense. Slots change their numbers."""
        for stack in self._stacks.values():
            stack.close_gaps()

    def batch(self, spans: Sequence[Span], tokens: int) -> Project:
        """The projections of a batch of `tokens` tokens. Valid until adapters are held, dropped or moved."""
        parts = [part for stack, mine in self._by_stack(spans).items() for part in _parts(stack, mine, tokens)]
        return BatchProject(self._project, parts) if parts else self._project

    def _by_stack(self, spans: Sequence[Span]) -> Mapping[Stack, Mapping[AdapterHash, list[int]]]:
        """The tokens of each adapter, for each stack."""
        stacks: dict[Stack, dict[AdapterHash, list[int]]] = {}
        for span in spans:
            adapters = stacks.setdefault(self._held[span.adapter.hash], {})
            adapters.setdefault(span.adapter.hash, []).extend(range(span.start, span.stop))
        return stacks


class Stack:
    """Factors of adapters of one shape.

    down: group -> [layers, slots, rank * sites, in]; up: site -> [layers, slots, rank, out]
    """

    def __init__(self, config: LlamaConfig, shape: StackShape, dtype: torch.dtype, device: torch.device) -> None:
        self.slots: DenseSlots[AdapterHash] = DenseSlots()
        self.rank = shape.rank
        self.columns = {group: _columns(config, shape, group) for group in Group if shape.sites_in(group)}
        self.down = {
            group: torch.zeros(config.num_layers, 0, self.rank * len(sites), config.group_widths(group)[0]).to(
                device, dtype
            )
            for group, sites in self.columns.items()
        }
        self.up = {
            site: torch.zeros(config.num_layers, 0, self.rank, columns.stop - columns.start).to(device, dtype)
            for sites in self.columns.values()
            for site, columns in sites.items()
        }

    def put(self, adapter: LoraAdapter) -> None:
        """Copy an adapter into a free slot."""
        slot = self.slots.place(adapter.hash)
        if slot >= self._capacity:
            self.down = {group: _grown(tensor) for group, tensor in self.down.items()}
            self.up = {site: _grown(tensor) for site, tensor in self.up.items()}
        for group, sites in self.columns.items():
            for number, site in enumerate(sites):
                rows = slice(number * self.rank, (number + 1) * self.rank)
                self._put_site(adapter, site, self.down[group][:, slot, rows], self.up[site][:, slot])

    def close_gaps(self) -> None:
        for _, source, target in self.slots.close_gaps():
            for tensor in (*self.down.values(), *self.up.values()):
                tensor[:, target] = tensor[:, source]

    @property
    def _capacity(self) -> int:
        return next(iter(self.up.values())).shape[1]

    def _put_site(self, adapter: LoraAdapter, site: str, down: Tensor, up: Tensor) -> None:
        """down: [layers, rank, in]; up: [layers, rank, out]. A layer without this site gets zeros."""
        for layer in range(len(down)):
            factors = adapter.factors.get((layer, site))
            if factors is None:
                down[layer], up[layer] = 0, 0
            else:
                down[layer], up[layer] = factors[0], factors[1].T


@dataclass(frozen=True)
class BatchProject:
    """The base's projection, with what the adapters add to their tokens."""

    base: Project
    parts: Sequence[Segment | Spread]

    def __call__(self, layer: int, group: Group, x: Tensor) -> Tensor:
        y = self.base(layer, group, x)
        for part in self.parts:
            part.add(layer, group, x, y)
        return y


@dataclass(frozen=True)
class Segment:
    """Many tokens of one adapter."""

    stack: Stack
    slot: int
    tokens: Tensor | slice

    def add(self, layer: int, group: Group, x: Tensor, y: Tensor) -> None:
        """Add B A x to y [tokens, out]."""
        sites = self.stack.columns.get(group, {})
        if not sites:
            return
        inner = F.linear(x[self.tokens], self.stack.down[group][layer, self.slot])
        for part, (site, columns) in zip(inner.split(self.stack.rank, dim=-1), sites.items(), strict=True):
            _add_rows(y[:, columns], self.tokens, part @ self.stack.up[site][layer, self.slot])


@dataclass(frozen=True)
class Spread:
    """Few tokens each of many adapters: one batched product, over a grid [slots, most tokens of one]."""

    stack: Stack
    grid: Tensor
    """token of each place in the grid; 0 where there is none. [slots, most]"""
    used: Tensor | None
    """places in the flat grid that hold a token; None: all of them"""
    tokens: Tensor | slice
    """the tokens of the used places"""

    def add(self, layer: int, group: Group, x: Tensor, y: Tensor) -> None:
        """Add B A x to y [tokens, out]."""
        sites = self.stack.columns.get(group, {})
        if not sites:
            return
        slots = len(self.grid)
        inner = torch.bmm(self._gather(x), self.stack.down[group][layer, :slots].transpose(1, 2))
        for part, (site, columns) in zip(inner.split(self.stack.rank, dim=-1), sites.items(), strict=True):
            outer = torch.bmm(part, self.stack.up[site][layer, :slots]).flatten(0, 1)
            _add_rows(y[:, columns], self.tokens, outer if self.used is None else outer[self.used])

    def _gather(self, x: Tensor) -> Tensor:
        """[slots, most, in]"""
        if self.used is None and isinstance(self.tokens, slice):
            return x[self.tokens].view(*self.grid.shape, -1)
        return x[self.grid]


def _parts(stack: Stack, adapters: Mapping[AdapterHash, list[int]], tokens: int) -> list[Segment | Spread]:
    many = {adapter: rows for adapter, rows in adapters.items() if len(rows) >= SEGMENT_MIN or len(adapters) == 1}
    few = {stack.slots[adapter]: rows for adapter, rows in adapters.items() if adapter not in many}
    parts: list[Segment | Spread] = [
        Segment(stack, stack.slots[adapter], _rows(rows)) for adapter, rows in many.items()
    ]
    if few:
        parts.append(_spread(stack, few))
    return parts


def _spread(stack: Stack, rows_of: Mapping[int, list[int]]) -> Spread:
    slots, most = max(rows_of) + 1, max(len(rows) for rows in rows_of.values())
    grid = torch.zeros(slots, most, dtype=torch.long)
    used: list[int] = []
    tokens: list[int] = []
    for slot in sorted(rows_of):
        rows = rows_of[slot]
        grid[slot, : len(rows)] = torch.tensor(rows)
        used += range(slot * most, slot * most + len(rows))
        tokens += rows
    full = len(used) == grid.numel()
    return Spread(stack, grid, None if full else torch.tensor(used), _rows(tokens))


def _rows(rows: list[int]) -> Tensor | slice:
    """A slice where the rows are consecutive: it copies nothing."""
    if rows == list(range(rows[0], rows[-1] + 1)):
        return slice(rows[0], rows[-1] + 1)
    return torch.tensor(rows)


def _add_rows(y: Tensor, rows: Tensor | slice, delta: Tensor) -> None:
    if isinstance(rows, slice):
        y[rows] += delta
    else:
        y.index_add_(0, rows, delta)


def _columns(config: LlamaConfig, shape: StackShape, group: Group) -> dict[str, slice]:
    """Where in the fused output of a group each adapted site lies."""
    _, widths = config.group_widths(group)
    stops = torch.tensor(widths).cumsum(0).tolist()
    spans = {site: slice(stop - width, stop) for site, width, stop in zip(group.sites, widths, stops, strict=True)}
    return {site: spans[site] for site in shape.sites_in(group)}


def _grown(tensor: Tensor) -> Tensor:
    """Twice the slots."""
    layers, slots, *rest = tensor.shape
    larger = tensor.new_zeros(layers, max(SLOTS_FIRST, 2 * slots), *rest)
    larger[:, :slots] = tensor
    return larger
