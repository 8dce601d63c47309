"""Matrices in the codes of a quantised file: a third of the memory to read, and the same bfloat16 numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import torch
import torch.nn.functional as F
from torch import Tensor

from chiliad.kernels.dispatch import native_for
from chiliad.kernels.linear import PANEL

BLOCK_INPUTS = 32
"""inputs of an output whose codes share a scale"""


class Format(IntEnum):
    """How the compiled code holds a matrix."""

    BF16 = 0
    Q4_1 = 1
    Q8_0 = 2


@dataclass(frozen=True)
class BlockWeight:
    """weight = scale * codes (+ offset), in float32, rounded to bfloat16. The formats are those of GGUF."""

    codes: Tensor
    """[out, in]: uint8 from 0 to 15 with an offset, int8 without"""
    scale: Tensor
    """[out, in / 32] float16"""
    offset: Tensor | None = None
    """as `scale`"""

    @classmethod
    def cat(cls, parts: Sequence[BlockWeight]) -> BlockWeight | None:
        """One matrix of several with the same inputs, along `out`; None when their formats differ."""
        offsets = [part.offset for part in parts if part.offset is not None]
        if offsets and len(offsets) < len(parts):
            return None
        codes, scales = (torch.cat([getattr(part, name) for part in parts]) for name in ("codes", "scale"))
        return cls(codes, scales, torch.cat(offsets) if offsets else None)

    @property
    def shape(self) -> tuple[int, int]:
        out, inputs = self.codes.shape
        return out, inputs

    @property
    def format(self) -> Format:
        return Format.Q8_0 if self.offset is None else Format.Q4_1

    def numbers(self) -> Tensor:
        """[out, in] bfloat16: what the codes stand for."""
        scale = self.scale.float().repeat_interleave(BLOCK_INPUTS, 1)
        offset = 0 if self.offset is None else self.offset.float().repeat_interleave(BLOCK_INPUTS, 1)
        return (scale * self.codes.float() + offset).bfloat16()


def pack_blocks(weight: BlockWeight) -> Tensor:
    """[bytes] uint8 in the order in which the kernel reads, given in native/step.hpp."""
    blocks = weight.shape[1] // BLOCK_INPUTS
    codes = _panels(weight.codes).view(-1, 3, 2, 8, blocks, 16, 2).permute(0, 4, 5, 1, 2, 3, 6)
    if weight.format is Format.Q4_1:
        codes = codes[:, :, :, :, 0] | codes[:, :, :, :, 1] << 4
    parts = [codes.flatten(2).view(torch.uint8)]
    for numbers in (weight.scale, weight.offset):
        if numbers is not None:
            parts.append(_panels(numbers).transpose(1, 2).contiguous().view(torch.uint8))
    return torch.cat(parts, dim=2).flatten()


def packed_bytes(weight: BlockWeight) -> int:
    """How many `pack_blocks(weight)` has."""
    out, inputs = weight.shape
    numbers = BLOCK_INPUTS * PANEL
    block = numbers // 2 + 4 * PANEL if weight.format is Format.Q4_1 else numbers + 2 * PANEL
    return -(-out // PANEL) * (inputs // BLOCK_INPUTS) * block


def expand(packed: Tensor, weight: BlockWeight) -> Tensor:
    """What the kernel takes the packed codes for, in the order of `pack`: for comparing it with the numbers themselves."""
    native = native_for()
    assert native is not None
    panels, inputs = -(-weight.shape[0] // PANEL), weight.shape[1]
    numbers = torch.empty(panels, inputs // 2, PANEL, 2, dtype=torch.bfloat16)
    native.expand((packed.data_ptr(), int(weight.format)), panels, inputs, numbers.data_ptr())
    return numbers


def _panels(matrix: Tensor) -> Tensor:
    """[out, n] -> [panels, PANEL, n]"""
    return F.pad(matrix, (0, 0, 0, -len(matrix) % PANEL)).view(-1, PANEL, matrix.shape[1])
