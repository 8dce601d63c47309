"""LoRA factors where they lie in a file's memory: to cut hundreds of tensors takes longer than to read the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

Key = tuple[int, str]
"""layer, site"""


class Place(NamedTuple):
    """A matrix among a file's numbers."""

    start: int
    rows: int
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.columns

    def of(self, numbers: Tensor) -> Tensor:
        return numbers[self.start : self.start + self.rows * self.columns].view(self.shape)


@dataclass(frozen=True, eq=False)
class Places:
    """Where A and B of each linear layer lie. Files of one layout share it: what follows from it is worked out once."""

    pairs: Mapping[Key, tuple[Place, Place]]


class StoredPairs(Mapping[Key, tuple[Tensor, Tensor]]):
    """A [rank, in] and B [out, rank] by layer and site, the scale multiplied into B whenever that is taken out."""

    def __init__(self, numbers: Tensor, places: Places, scale: float) -> None:
        """numbers: all of the file's"""
        self.numbers, self.places, self.scale = numbers, places, scale

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor]:
        down, up = self.places.pairs[key]
        return down.of(self.numbers), up.of(self.numbers) * self.scale

    def __iter__(self) -> Iterator[Key]:
        return iter(self.places.pairs)

    def __len__(self) -> int:
        return len(self.places.pairs)
