"""A matrix that is kept in codes and read as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chiliad.kernels.blocks import BLOCK_INPUTS, BlockWeight

NUMBERS_AT_ONCE = 1 << 17
"""that are made together, in float32: few enough to stay in a core's cache"""


@dataclass(frozen=True)
class CompactWeight:
    """`BlockWeight` in the memory that its codes need: two of 4 bits share a byte."""

    codes: Tensor
    """[out, in] int8; or [out, in / 2] uint8: for every 32 inputs 16 bytes, with the first 16 codes in their low halves"""
    scale: Tensor
    offset: Tensor | None

    @classmethod
    def of(cls, weight: BlockWeight) -> CompactWeight:
        if weight.offset is None:
            return cls(weight.codes, weight.scale, None)
        low, high = weight.codes.view(len(weight.codes), -1, 2, BLOCK_INPUTS // 2).unbind(2)
        return cls((low | high << 4).flatten(1), weight.scale, weight.offset)

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.codes, self.scale, self.offset) if part is not None)

    def numbers(self, dtype: torch.dtype) -> Tensor:
        """[out, in], made anew: what `BlockWeight.numbers` gives, rounded."""
        outputs, inputs = len(self.codes), self.codes.shape[1] * (1 if self.offset is None else 2)
        numbers = torch.empty(outputs, inputs, dtype=dtype)
        step = max(1, NUMBERS_AT_ONCE // inputs)
        for start in range(0, outputs, step):
            part = slice(start, start + step)
            numbers[part] = self._rows(part).numbers()
        return numbers

    def _rows(self, part: slice) -> BlockWeight:
        codes, scale = self.codes[part], self.scale[part]
        if self.offset is None:
            return BlockWeight(codes, scale)
        pairs = codes.view(len(codes), -1, BLOCK_INPUTS // 2)
        return BlockWeight(torch.stack((pairs & 15, pairs >> 4), dim=2).flatten(1), scale, self.offset[part])
