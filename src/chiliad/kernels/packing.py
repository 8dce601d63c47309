"""Matrices in the order in which the compiled products read them: panels of outputs, each a stream of bytes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from chiliad.kernels.blocks import BLOCK_INPUTS, BlockWeight, Format

PANEL = 48
"""outputs that the native kernel computes in one pass over x"""

LANES = 16
"""of these, what one vector holds"""

Matrix = Tensor | BlockWeight
"""[out, in], the numbers in bfloat16 or as codes"""

_BLOCK_BYTES = {Format.Q4_1: BLOCK_INPUTS * PANEL // 2 + 4 * PANEL, Format.Q8_0: BLOCK_INPUTS * PANEL + 128}
_SIGNS = -0x7F7F7F80
"""the highest bit of each of four bytes: turning it adds 128 to a code with a sign"""


def format_of(matrix: Matrix) -> Format:
    return Format.BF16 if isinstance(matrix, Tensor) else matrix.format


def packed_bytes(matrix: Matrix) -> int:
    """How many `pack_to` writes."""
    outputs, inputs = matrix.shape
    panels = -(-outputs // PANEL)
    if isinstance(matrix, Tensor):
        return 2 * panels * PANEL * inputs
    return panels * (inputs // BLOCK_INPUTS) * _BLOCK_BYTES[matrix.format]


def pack_to(matrix: Matrix, to: Tensor) -> None:
    """to: [packed_bytes(matrix)] uint8. The order is given in native/step.hpp."""
    if isinstance(matrix, Tensor):
        panels = _panels(matrix).view(torch.int32)  # two inputs move as one number
        to.view(torch.int32).view(len(panels), -1, PANEL).copy_(panels.transpose(1, 2))
    else:
        _pack_codes(matrix, to.view(-1, matrix.shape[1] // BLOCK_INPUTS, _BLOCK_BYTES[matrix.format]))


def pack(weight: Tensor) -> Tensor:
    """[out, in] -> [panels, in / 2, PANEL, 2]: two inputs of 16 outputs to a vector."""
    panels = _panels(weight)
    return panels.reshape(len(panels), PANEL, -1, 2).transpose(1, 2).contiguous()


def _pack_codes(weight: BlockWeight, to: Tensor) -> None:
    """to: [panels, in / 32, bytes of a block]"""
    fours = _panels(weight.codes).view(torch.int32)  # four codes move as one number
    if weight.format is Format.Q4_1:
        fours = fours[..., ::2] | fours[..., 1::2] << 4
    fours = fours.unflatten(1, (-1, LANES)).unflatten(3, (to.shape[1], -1))
    end = 4 * PANEL * fours.shape[4]
    codes = to[..., :end].view(torch.int32)
    codes.unflatten(2, (fours.shape[4], -1, LANES)).copy_(fours.permute(0, 3, 4, 1, 2))
    if weight.format is Format.Q8_0:
        codes.bitwise_xor_(_SIGNS)
    for numbers in (weight.scale, weight.offset):
        if numbers is not None:
            to[..., end : end + 2 * PANEL].view(torch.float16).copy_(_panels(numbers).transpose(1, 2))
            end += 2 * PANEL


def _panels(matrix: Tensor) -> Tensor:
    """[out, n] -> [panels, PANEL, n], zeros past `out`"""
    return F.pad(matrix, (0, 0, 0, -len(matrix) % PANEL)).reshape(-1, PANEL, matrix.shape[1])
