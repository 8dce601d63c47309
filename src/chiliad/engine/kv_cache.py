"""Keys and values of all running sequences, placed so that decoding many of them is a few plain matrix products."""

from __future__ import annotations

from itertools import count

import torch

from chiliad.engine.runner import SequenceId
from chiliad.engine.slots import DenseSlots
from chiliad.models import TransformerConfig

CAPACITY_FIRST = 64


class Lane:
    """A few rows for sequences of at most `capacity` tokens; a row holds zeros past its sequence's end.

    keys, values: [layers, rows, kv_heads, capacity, head_dim]
    """

    def __init__(
        self, config: TransformerConfig, rows: int, capacity: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.capacity = capacity
        self.slots: DenseSlots[SequenceId] = DenseSlots()
        shape = (config.num_layers, rows, config.num_kv_heads, capacity, config.head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)

    @property
    def rows(self) -> int:
        return self.keys.shape[1]

    @property
    def full(self) -> bool:
        return len(self.slots) == self.rows

    def place(self, sequence: SequenceId) -> int:
        """Give a sequence a row, all zeros. There has to be a free one."""
        return self.slots.place(sequence)

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
    """Lanes of 64, 96, 128, 192, 256 ... tokens. A sequence moves to a longer one when it outgrows its own.

    So rows of like length lie side by side: attention reads whole rows, at most half of it in vain, and a long sequence
    costs memory only for itself. A lane is of about `lane_tokens` tokens, one row at least; where it is full another one
    of its kind is made, and the last sequence that leaves one gives its memory back.
    """

    def __init__(
        self,
        config: TransformerConfig,
        dtype: torch.dtype,
        device: torch.device,
        *,
        context_max: int,
        lane_tokens: int,
    ) -> None:
        self._config, self._dtype, self._device = config, dtype, device
        self._context_max, self._lane_tokens = context_max, lane_tokens
        self._lanes: dict[int, Lane] = {}
        self._made = count()
        self._place: dict[SequenceId, int] = {}
        self._lengths: dict[SequenceId, int] = {}

    def __contains__(self, sequence: SequenceId) -> bool:
        return sequence in self._place

    def __len__(self) -> int:
        return len(self._place)

    @property
    def lanes(self) -> list[Lane]:
        """In the order in which they were made."""
        return list(self._lanes.values())

    @property
    def bytes(self) -> int:
        return sum(lane.keys.nbytes + lane.values.nbytes for lane in self._lanes.values())

    @property
    def tokens(self) -> int:
        """That there is memory for in all lanes, in use or not."""
        return sum(lane.rows * lane.capacity for lane in self._lanes.values())

    @property
    def tokens_used(self) -> int:
        """Of the rows that sequences have."""
        return sum(len(lane.slots) * lane.capacity for lane in self._lanes.values())

    def tokens_wanting(self, sequence: SequenceId, length: int) -> int:
        """By how many `tokens` grows when `extend` is called."""
        if sequence in self and length <= self.lane(sequence).capacity:
            return 0
        capacity = self._capacity(length)
        return 0 if self._with_place(capacity) is not None else self._rows(capacity) * capacity

    def lane(self, sequence: SequenceId) -> Lane:
        return self._lanes[self._place[sequence]]

    def lane_number(self, sequence: SequenceId) -> int:
        """Of no other lane, ever."""
        return self._place[sequence]

    def extend(self, sequence: SequenceId, length: int) -> None:
        """Make room for `length` tokens of a sequence, new or known. What PyTorch raises without memory changes nothing."""
        known = self._place.get(sequence)
        if known is None or length > self._lanes[known].capacity:
            number = self._number_for(length)
            roomy = self._lanes[number]
            row = roomy.place(sequence)
            if known is not None:
                lane = self._lanes[known]
                copy_row(lane, lane.slots[sequence], roomy, row, self._lengths[sequence])
                self._leave(sequence)
            self._place[sequence] = number
        self._lengths[sequence] = length

    def release(self, sequence: SequenceId) -> None:
        """Forget a sequence, if it is known."""
        if sequence in self:
            self._leave(sequence)
            del self._lengths[sequence]

    def close_gaps(self) -> None:
        """Make the rows of every lane dense. Rows change their numbers."""
        for lane in self._lanes.values():
            lane.close_gaps(self._lengths)

    def _leave(self, sequence: SequenceId) -> None:
        number = self._place.pop(sequence)
        lane = self._lanes[number]
        lane.remove(sequence, self._lengths[sequence])
        if not len(lane.slots):
            del self._lanes[number]

    def _number_for(self, length: int) -> int:
        """Of a lane with a free row of that length, a new one if need be."""
        capacity = self._capacity(length)
        number = self._with_place(capacity)
        if number is None:
            lane = Lane(self._config, self._rows(capacity), capacity, self._dtype, self._device)
            number = next(self._made)
            self._lanes[number] = lane
        return number

    def _with_place(self, capacity: int) -> int | None:
        fitting = (number for number, lane in self._lanes.items() if lane.capacity == capacity and not lane.full)
        return next(fitting, None)

    def _capacity(self, length: int) -> int:
        return min(_capacity(length), self._context_max)

    def _rows(self, capacity: int) -> int:
        return max(1, self._lane_tokens // capacity)


def token_bytes(config: TransformerConfig, dtype: torch.dtype) -> int:
    """Keys and values of one token in all layers."""
    return 2 * config.num_layers * config.num_kv_heads * config.head_dim * dtype.itemsize


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
