"""A frozen matrix, laid out once for products with few rows."""

from __future__ import annotations

import torch
from torch import Tensor

from chiliad.kernels.blocks import in_blocks, to_8_bits
from chiliad.kernels.dispatch import native_for
from chiliad.kernels.packing import Matrix, format_of, pack_to, packed_bytes


class PackedLinear:
    """y = x W^T. Every sum runs over the inputs in order: a row's bits do not depend on the other rows or on the threads.

    Holds a copy of the weight, padded to a multiple of 48 outputs. With a weight in codes, x is rounded to 8 bits.
    """

    def __init__(self, weight: Matrix) -> None:
        """weight: [out, in], `fits(weight)`."""
        assert self.fits(weight)
        self._outputs, self._inputs = weight.shape
        self._packed, self._format = torch.zeros(packed_bytes(weight), dtype=torch.uint8), format_of(weight)
        pack_to(weight, self._packed)

    @staticmethod
    def fits(weight: Matrix) -> bool:
        """Whether the compiled kernel takes this weight."""
        if isinstance(weight, Tensor):
            return native_for(weight) is not None and weight.shape[1] % 2 == 0
        return native_for() is not None

    def __call__(self, x: Tensor) -> Tensor:
        """x: [rows, in] bfloat16 -> [rows, out]."""
        x = x.contiguous()
        native = native_for(x)
        assert native is not None
        assert x.shape[1:] == (self._inputs,)
        y = torch.empty(len(x), self._outputs, dtype=torch.bfloat16)
        packed = (self._packed.data_ptr(), int(self._format))
        native.linear(x.data_ptr(), packed, y.data_ptr(), len(x), self._outputs, self._inputs)
        return y


def plain_linear(x: Tensor, weight: Matrix) -> Tensor:
    """x: [rows, in] -> [rows, out] float32."""
    if isinstance(weight, Tensor):
        return x.float() @ weight.float().T
    return to_8_bits(in_blocks(x), torch.float32).numbers() @ weight.numbers().T
