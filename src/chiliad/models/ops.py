"""The three small operations between the matrix products, each with a hand-written backward.

PyTorch's own autograd through the obvious formula keeps several float32 copies per layer and, on CPU, spends more time on
them than on the arithmetic. The arithmetic is in `chiliad.kernels`; the obvious formulas stand in
`tests/models/test_ops.py` and are compared with these.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor
from torch.autograd import Function

from chiliad import kernels


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """[..., width] -> the same; statistics in float32. Zhang and Sennrich 2019 (arXiv 1910.07467). `weight` is frozen."""
    return cast(Tensor, _RmsNorm.apply(x, weight, eps))  # type: ignore[no-untyped-call]


def swiglu(gate_up: Tensor) -> Tensor:
    """[..., 2 * width], gate first -> silu(gate) * up, [..., width]. Shazeer 2020 (arXiv 2002.05202)."""
    return cast(Tensor, _SwiGlu.apply(gate_up))  # type: ignore[no-untyped-call]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of x [tokens, heads, head_dim] with cos and sin [tokens, 1, head_dim], halves layout."""
    return cast(Tensor, _Rotate.apply(x, cos, sin))  # type: ignore[no-untyped-call]


class _RmsNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        y, scale = kernels.rms_norm(x, weight, eps)
        ctx.save_for_backward(x, weight, scale)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return kernels.rms_norm_backward(grad, *ctx.saved_tensors), None, None


class _SwiGlu(Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        return kernels.swiglu(gate_up)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return kernels.swiglu_backward(grad, *ctx.saved_tensors)


class _Rotate(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return kernels.rotate(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return kernels.rotate(grad, *ctx.saved_tensors, back=True), None, None
