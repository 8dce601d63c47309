"""Adapters for a batch in which every token may have another one: each distinct one is read once for each layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from chiliad.adapters import Adapter, AdapterHash, BasisHash, CoreAdapter, Ia3Adapter, LoraAdapter, PrefixAdapter
from chiliad.engine.fitting import require_fit
from chiliad.engine.lora_stack import LoraStack, StackShape
from chiliad.engine.mixed_cores import Cores, prepared
from chiliad.engine.mixed_scales import Scales
from chiliad.models import Group, Project, Transformer, TransformerConfig

SEGMENT_MIN = 64
"""tokens of one adapter from which it gets matrix products of its own"""

GRID_WASTE_MAX = 2
"""places in a grid for each token in it"""


@dataclass(frozen=True)
class Span:
    """Tokens [start, stop) of the batch that have this adapter."""

    start: int
    stop: int
    adapter: Adapter


class MixedLora:
    """The adapters that running sequences use, and the projections of a batch of them."""

    def __init__(self, model: Transformer) -> None:
        self._model = model
        self._columns = _columns(model.config)
        self._users: Counter[AdapterHash] = Counter()
        self._stacks: dict[StackShape, LoraStack] = {}
        self._stacked: dict[AdapterHash, LoraStack] = {}

    def __len__(self) -> int:
        """Distinct adapters in use."""
        return len(self._users)

    def prepare(self, adapter: Adapter) -> Adapter:
        """The adapter in the model's precision, beside the model. Raises BrokenAdapter when a tensor does not fit it."""
        require_fit(adapter, self._model.config)
        like = self._model.embedding
        if isinstance(adapter, CoreAdapter):
            return prepared(adapter, self._model)
        if isinstance(adapter, Ia3Adapter):
            return replace(adapter, scales={key: scale.to(like) for key, scale in adapter.scales.items()})
        if isinstance(adapter, PrefixAdapter):
            return replace(adapter, layers={key: (k.to(like), v.to(like)) for key, (k, v) in adapter.layers.items()})
        return replace(adapter, factors={key: (a.to(like), b.to(like)) for key, (a, b) in adapter.factors.items()})

    def hold(self, adapter: AdapterHash) -> None:
        """Count a sequence that uses this adapter."""
        self._users[adapter] += 1

    def drop(self, adapter: AdapterHash) -> None:
        """The opposite of `hold`; with the last sequence the adapter leaves its stack."""
        self._users[adapter] -= 1
        if not self._users[adapter]:
            del self._users[adapter]
            if adapter in self._stacked:
                self._stacked.pop(adapter).slots.remove(adapter)

    def batch(self, spans: Sequence[Span]) -> Project:
        """The projections of a batch. Valid until the next call or `drop`."""
        adapters = {span.adapter.hash: span.adapter for span in spans}
        tokens: dict[AdapterHash, list[int]] = {name: [] for name in adapters}
        for span in spans:
            tokens[span.adapter.hash] += range(span.start, span.stop)
        found = [(adapter, tokens[name]) for name, adapter in adapters.items()]
        parts: list[Part] = list(self._lora_parts([(a, rows) for a, rows in found if isinstance(a, LoraAdapter)]))
        parts += self._core_parts([(a, rows) for a, rows in found if isinstance(a, CoreAdapter)])
        scaled = [(a, rows) for a, rows in found if isinstance(a, Ia3Adapter)]
        if not found:
            return self._model.project
        return BatchProject(self._model.project, parts, Scales(self._columns, scaled) if scaled else None)

    def _lora_parts(self, found: Sequence[tuple[LoraAdapter, list[int]]]) -> Iterator[Segment | Grid]:
        adapters = {adapter.hash: adapter for adapter, _ in found}
        batches: dict[StackShape, dict[AdapterHash, list[int]]] = {}
        for adapter, rows in found:
            batches.setdefault(StackShape.of(adapter), {})[adapter.hash] = rows
        for shape, rows_of in batches.items():
            alone, together = _divide(rows_of)
            yield from (Segment(adapters[a], self._columns, _rows(rows)) for a, rows in alone.items())
            if together:
                stack = self._stack(shape, [adapters[a] for a in together])
                yield _grid(stack, together)

    def _core_parts(self, found: Sequence[tuple[CoreAdapter, list[int]]]) -> Iterator[Cores]:
        """One for each basis."""
        by_basis: dict[BasisHash, list[tuple[CoreAdapter, list[int]]]] = {}
        for adapter, rows in found:
            by_basis.setdefault(adapter.basis.hash, []).append((adapter, rows))
        yield from (Cores.of(self._columns, parts) for parts in by_basis.values())

    def _stack(self, shape: StackShape, adapters: Sequence[LoraAdapter]) -> LoraStack:
        """The stack of a shape, dense, with all of `adapters` in it."""
        if shape not in self._stacks:
            config, dtype, device = self._model.config, self._model.dtype, self._model.embedding.device
            self._stacks[shape] = LoraStack(config, shape, dtype, device)
        stack = self._stacks[shape]
        for adapter in adapters:
            if adapter.hash not in self._stacked:
                stack.put(adapter)
                self._stacked[adapter.hash] = stack
        stack.close_gaps()
        return stack


@dataclass(frozen=True)
class BatchProject:
    """The base's projection, with what the adapters add to their tokens."""

    base: Project
    parts: Sequence[Part]
    scales: Scales | None

    def __call__(self, layer: int, group: Group, x: Tensor) -> Tensor:
        x = self.scales.before(layer, group, x) if self.scales else x
        y = self.base(layer, group, x)
        if self.scales:
            self.scales.after(layer, group, y)
        for part in self.parts:
            part.add(layer, group, x, y)
        return y


@dataclass(frozen=True)
class Segment:
    """Many tokens of one adapter."""

    adapter: LoraAdapter
    columns: Mapping[str, slice]
    tokens: Tensor | slice

    def add(self, layer: int, group: Group, x: Tensor, y: Tensor) -> None:
        """Add B A x to y [tokens, out]."""
        mine = x[self.tokens]
        for site in group.sites:
            factors = self.adapter.factors.get((layer, site))
            if factors is not None:
                _add_rows(y[:, self.columns[site]], self.tokens, F.linear(F.linear(mine, factors[0]), factors[1]))


@dataclass(frozen=True)
class Grid:
    """Tokens of several adapters as a table with a row for each slot of their stack, padded to the longest."""

    stack: LoraStack
    places: Tensor
    """token of each place; 0 where there is none. [slots, most tokens of one adapter]"""
    used: Tensor | None
    """places in the flat table that hold a token; None: all of them"""
    tokens: Tensor | slice
    """the tokens in those places"""

    def add(self, layer: int, group: Group, x: Tensor, y: Tensor) -> None:
        """Add B A x to y [tokens, out]."""
        if group not in self.stack.blocks:
            return
        in_order = self.used is None and isinstance(self.tokens, slice)
        table = x[self.tokens].view(*self.places.shape, -1) if in_order else x[self.places]
        delta = self.stack.add(layer, group, table)
        _add_rows(y, self.tokens, delta if self.used is None else delta[self.used])


Part = Segment | Grid | Cores
"""tokens whose adapters are computed in one way"""


def _divide(
    rows_of: Mapping[AdapterHash, list[int]],
) -> tuple[Mapping[AdapterHash, list[int]], Mapping[AdapterHash, list[int]]]:
    """Which adapters are computed alone, and which together without padding too much."""
    by_length = sorted(rows_of, key=lambda adapter: len(rows_of[adapter]), reverse=True)
    tokens = sum(len(rows) for rows in rows_of.values())
    first = 0
    for adapter in by_length:
        most = len(rows_of[adapter])
        if most < SEGMENT_MIN and most * (len(by_length) - first) <= GRID_WASTE_MAX * tokens:
            break
        tokens -= most
        first += 1
    return {a: rows_of[a] for a in by_length[:first]}, {a: rows_of[a] for a in by_length[first:]}


def _grid(stack: LoraStack, rows_of: Mapping[AdapterHash, list[int]]) -> Grid:
    by_slot = {stack.slots[adapter]: rows for adapter, rows in rows_of.items()}
    slots, most = max(by_slot) + 1, max(len(rows) for rows in by_slot.values())
    places = torch.zeros(slots, most, dtype=torch.long)
    used: list[int] = []
    tokens: list[int] = []
    for slot, rows in sorted(by_slot.items()):
        places[slot, : len(rows)] = torch.tensor(rows)
        used += range(slot * most, slot * most + len(rows))
        tokens += rows
    full = len(used) == places.numel()
    return Grid(stack, places, None if full else torch.tensor(used), _rows(tokens))


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


def _columns(config: TransformerConfig) -> dict[str, slice]:
    """Where in the fused output of its group each site lies."""
    columns = {}
    for group in Group:
        start = 0
        for site, width in zip(group.sites, config.group_widths(group)[1], strict=True):
            columns[site] = slice(start, start + width)
            start += width
    return columns
