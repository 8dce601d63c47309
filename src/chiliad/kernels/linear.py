"""A frozen bfloat16 matrix, laid out once for products with few rows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from chiliad.kernels.dispatch import native_for

PANEL = 48
"""outputs that the native kernel computes in one pass over x"""


class PackedLinear:
    """y = x W^T. Every sum runs over the inputs in order: a row's bits do not depend on the other rows or on the threads.

    Holds a copy of the weight, `nbytes` large, padded to a multiple of `PANEL` outputs.
    """

    def __init__(self, weight: Tensor) -> None:
        """weight: [out, in], `fits(weight)`."""
        assert self.fits(weight)
        self._outputs, self._inputs = weight.shape
        self._packed = pack(weight)

    @staticmethod
    def fits(weight: Tensor) -> bool:
        """Whether the compiled kernel takes this weight."""
        return native_for(weight) is not None and weight.shape[1] % 2 == 0

    @property
    def nbytes(self) -> int:
        return self._packed.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        """x: [rows, in] bfloat16 -> [rows, out]."""
        x = x.contiguous()
        native = native_for(x)
        assert native is not None
        assert x.shape[1:] == (self._inputs,)
        y = torch.empty(len(x), self._outputs, dtype=torch.bfloat16)
        native.linear(x.data_ptr(), self._packed.data_ptr(), y.data_ptr(), len(x), self._outputs, self._inputs)
        return y


def pack(weight: Tensor) -> Tensor:
    """[out, in] -> [panels, in / 2, PANEL, 2]: the order in which the kernel reads, two inputs of 16 outputs to a vector."""
    outputs, inputs = weight.shape
    padded = F.pad(weight, (0, 0, 0, -outputs % PANEL))
    return padded.view(-1, PANEL, inputs // 2, 2).transpose(1, 2).contiguous()


def packed_numbers(weight: Tensor) -> int:
    """How many numbers `pack(weight)` has."""
    outputs, inputs = weight.shape
    return -(-outputs // PANEL) * PANEL * inputs
