"""Numbered places that stay without gaps, so that a batch is a plain slice of a stacked tensor."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class DenseSlots(Generic[Key]):
    """Gives each key a number. Gaps that keys leave are filled by new ones, or closed by `close_gaps`."""

    def __init__(self) -> None:
        self._slot: dict[Key, int] = {}
        self._key: dict[int, Key] = {}

    def __len__(self) -> int:
        return len(self._slot)

    def __contains__(self, key: Key) -> bool:
        return key in self._slot

    def __getitem__(self, key: Key) -> int:
        return self._slot[key]

    def place(self, key: Key) -> int:
        """Give a new key the lowest free slot."""
        assert key not in self._slot
        slot = next(slot for slot in range(len(self._key) + 1) if slot not in self._key)
        self._put(key, slot)
        return slot

    def remove(self, key: Key) -> int:
        """Free a key's slot; returns the slot."""
        slot = self._slot.pop(key)
        del self._key[slot]
        return slot

    def close_gaps(self) -> list[tuple[Key, int, int]]:
        """Move keys from the end into the gaps; returns what the owner has to copy, as (key, from, to)."""
        count = len(self._key)
        gaps = [slot for slot in range(count) if slot not in self._key]
        beyond = [slot for slot in self._key if slot >= count]
        moves = [(self._key.pop(slot), slot, gap) for slot, gap in zip(beyond, gaps, strict=True)]
        for key, _, gap in moves:
            self._put(key, gap)
        return moves

    def _put(self, key: Key, slot: int) -> None:
        self._slot[key] = slot
        self._key[slot] = key
