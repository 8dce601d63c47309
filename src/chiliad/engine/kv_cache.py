"""Keys and values of all running sequences, placed so that decoding many of them is a few plain matrix products."""

from __future__ import annotations

import torch
from torch import Tensor

from chiliad.engine.runner import SequenceId
from chiliad.engine.slots import DenseSlots
from chiliad.models import TransformerConfig

CAPACITY_FIRST = 64
ROWS_FIRST = 4


class Lane:
    """Rows for sequences of at most `capacity` tokens; a row holds zeros past its sequence's end.

    keys, values: [layers, rows, kv_heads, capacity, head_dim]
    """

    def __init__(self, config: TransformerConfig, capacity: int, dtype: torch.dtype, device: torch.device) -> None:
        self.capacity = capacity
        self.slots: DenseSlots[SequenceId] = DenseSlots()
        shape = (config.num_layers, 0, config.num_kv_heads, capacity, config.head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)

    def place(self, sequence: SequenceId) -> int:
        """Give a sequence a row, all zeros."""
        row = self.slots.place(sequence)
        if row >= self.keys.shape[1]:
            self.keys, self.values = _grown(self.keys), _grown(self.values)
        return row

    def remove(self, sequence: SequenceId, length: int) -> None:
        self._clear(self.slots.remove(sequence), length)

    def close_gaps(self, lengths: dict[SequenceId, int]) -> None:
        for sequence, source, target in self.slots.close_gaps():
            copy_row(self, source, self, target, lengths[sequence])
            self._clear(source, lengths[sequence])

    def _clear(self, row: int, length: int) -> None:
        self.keys[:, row, :, :length] = 0
        self.values[:, row, :, :length] = 0


class KVCache:
    """Lanes of 64, 96, 128, 192, 256 ... tokens. A sequence moves to the next lane when it outgrows its own.

    So rows of like length lie side by side: attention reads whole rows, at most half of it in vain, and a long sequence
    costs memory only for itself. Lanes grow with use and keep what they have taken.
    """

    def __init__(self, config: TransformerConfig, dtype: torch.dtype, device: torch.device, context_max: int) -> None:
        self._config, self._dtype, self._device = config, dtype, device
        self._context_max = context_max
        self._lanes: dict[int, Lane] = {}
        self._lane_of: dict[SequenceId, Lane] = {}
        self._lengths: dict[SequenceId, int] = {}

    def __contains__(self, sequence: SequenceId) -> bool:
        return sequence in self._lane_of

    def __len__(self) -> int:
        return len(self._lane_of)

    @property
    def lanes(self) -> list[Lane]:
        """Lanes in use, shortest first."""
        return [lane for _, lane in sorted(self._lanes.items()) if len(lane.slots)]

    @property
    def bytes(self) -> int:
        return sum(lane.keys.nbytes + lane.values.nbytes for lane in self._lanes.values())

    @property
    def token_bytes(self) -> int:
        """Of one token in a row."""
        c = self._config
        return 2 * c.num_layers * c.num_kv_heads * c.head_dim * self._dtype.itemsize

    def capacity(self, length: int) -> int:
        """Tokens of the row that `length` of them lie in."""
        return min(_capacity(length), self._context_max)

    def lane(self, sequence: SequenceId) -> Lane:
        return self._lane_of[sequence]

    def extend(self, sequence: SequenceId, length: int) -> None:
        """Make room for `length` tokens of a sequence, new or known."""
        lane = self._lane_of.get(sequence)
        if lane is None or length > lane.capacity:
            roomy = self._lane_for(length)
            row = roomy.place(sequence)
            if lane is not None:
                kept = self._lengths[sequence]
                copy_row(lane, lane.slots[sequence], roomy, row, kept)
                lane.remove(sequence, kept)
            self._lane_of[sequence] = roomy
        self._lengths[sequence] = length

    def release(self, sequence: SequenceId) -> None:
        """Forget a sequence, if it is known."""
        lane = self._lane_of.pop(sequence, None)
        if lane is not None:
            lane.remove(sequence, self._lengths.pop(sequence))

    def close_gaps(self) -> None:
        """Make the rows of every lane dense. Rows change their numbers."""
        for lane in self._lanes.values():
            lane.close_gaps(self._lengths)

    def _lane_for(self, length: int) -> Lane:
        capacity = self.capacity(length)
        if capacity not in self._lanes:
            self._lanes[capacity] = Lane(self._config, capacity, self._dtype, self._device)
        return self._lanes[capacity]


def _capacity(length: int) -> int:
    """The smallest power of two, or one and a half of one, that holds `length`."""
    capacity = CAPACITY_FIRST
    while capacity < length:
        capacity *= 2
    smaller = capacity * 3 // 4
    return smaller if smaller >= max(length, CAPACITY_FIRST) else capacity


def copy_row(source: Lane, source_row: int, target: Lane, target_row: int, length: int) -> None:
    """Copy the first `length` tokens of a row in all layers."""
    target.keys[:, target_row, :, :length] = source.keys[:, source_row, :, :length]
    target.values[:, target_row, :, :length] = source.values[:, source_row, :, :length]


def _grown(tensor: Tensor) -> Tensor:
    """Twice the rows, zeros in the new ones."""
    layers, rows, *rest = tensor.shape
    larger = tensor.new_zeros(layers, max(ROWS_FIRST, 2 * rows), *rest)
    larger[:, :rows] = tensor
    return larger
