"""Matrices in codes of 8 or 4 bits: less memory to read, and products of whole numbers. The formats are those of GGUF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

BLOCK_INPUTS = 32
"""inputs of an output whose codes share a scale"""

ROWS_AT_ONCE = 4096
"""outputs that are rounded together, so that what comes between stays small"""


class Format(IntEnum):
    """How the compiled code holds a matrix."""

    BF16 = 0
    Q4_1 = 1
    Q8_0 = 2


@dataclass(frozen=True)
class BlockWeight:
    """weight = scale * code, or scale * code + offset, for every 32 inputs of an output."""

    codes: Tensor
    """[out, in]: uint8 from 0 to 15 with an offset, int8 without"""
    scale: Tensor
    """[out, in / 32], float16 in a matrix"""
    offset: Tensor | None = None
    """as `scale`"""

    @classmethod
    def rounded(cls, weight: Tensor, format_: Format) -> BlockWeight:
        """weight: [out, in], in a multiple of 32. To the nearest code; the largest and smallest of 32 bound the codes."""
        to_codes = to_8_bits if format_ is Format.Q8_0 else to_4_bits
        return cls.cat([to_codes(in_blocks(rows), torch.float16) for rows in weight.split(ROWS_AT_ONCE)])

    @classmethod
    def cat(cls, parts: Sequence[BlockWeight]) -> BlockWeight:
        """One matrix of several of one format with the same inputs, along `out`."""
        offsets = [part.offset for part in parts if part.offset is not None]
        assert len(offsets) in (0, len(parts))
        codes, scale = torch.cat([part.codes for part in parts]), torch.cat([part.scale for part in parts])
        return cls(codes, scale, torch.cat(offsets) if offsets else None)

    @property
    def shape(self) -> tuple[int, int]:
        out, inputs = self.codes.shape
        return out, inputs

    @property
    def format(self) -> Format:
        return Format.Q8_0 if self.offset is None else Format.Q4_1

    def numbers(self) -> Tensor:
        """[out, in] float32: what the codes stand for."""
        numbers = in_blocks(self.codes).mul_(self.scale.float().unsqueeze(2))
        if self.offset is not None:
            numbers.add_(self.offset.float().unsqueeze(2))
        return numbers.flatten(1)


def in_blocks(matrix: Tensor) -> Tensor:
    """[rows, in] -> [rows, in / 32, 32] float32"""
    return matrix.float().reshape(len(matrix), -1, BLOCK_INPUTS)


def to_8_bits(blocks: Tensor, scale_type: torch.dtype) -> BlockWeight:
    """blocks: [out, in / 32, 32] float32 -> the largest of 32 becomes 127 or -127. To the bit what native/codes.cpp does."""
    largest = blocks.abs().amax(2)
    codes = (blocks * _codes_of_one(127, largest)).round_()
    return BlockWeight(codes.to(torch.int8).flatten(1), (largest / 127).to(scale_type))


def to_4_bits(blocks: Tensor, scale_type: torch.dtype) -> BlockWeight:
    """blocks: [out, in / 32, 32] float32 -> the smallest of 32 becomes 0, the largest 15."""
    low, high = blocks.aminmax(dim=2)
    offset = low.to(scale_type)
    codes = ((blocks - offset.float().unsqueeze(2)) * _codes_of_one(15, high - low)).round_().clamp_(0, 15)
    return BlockWeight(codes.to(torch.uint8).flatten(1), ((high - low) / 15).to(scale_type), offset)


def _codes_of_one(codes: int, span: Tensor) -> Tensor:
    """By what a number is multiplied so that `span` becomes `codes`: [out, n, 1]; 0 for a span that is hardly any.

    A division: PyTorch would take a number divided by a tensor for a product with its reciprocal, which rounds twice.
    """
    return torch.where(span > 1e-30, torch.tensor(float(codes)) / span, 0).unsqueeze(2)
