"""IA3 in a training pass: what a frozen layer reads or gives, multiplied by each expert's factors, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor
from torch.autograd import Function

from chiliad.training.scale_state import ScaleState

Parts = Sequence[tuple[ScaleState, slice]]
"""experts, each with its tokens"""
Sites = Sequence[tuple[str, slice]]
"""sites, each with its columns of what is multiplied"""


def scaled(x: Tensor, parts: Parts, layer: int, sites: Sites) -> Tensor:
    """x: [tokens, width]"""
    return cast(Tensor, _Scaled.apply(x, parts, layer, sites))  # type: ignore[no-untyped-call]


class _Scaled(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, parts: Parts, layer: int, sites: Sites) -> Tensor:
        y = x.clone()
        for state, rows in parts:
            for site, columns in sites:
                scale = state.scale(layer, site)
                if scale is not None:
                    y[rows, columns] *= scale
        ctx.parts, ctx.layer, ctx.sites = parts, layer, sites
        ctx.save_for_backward(x)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        grad_x = grad.clone()
        for state, rows in ctx.parts:
            for site, columns in ctx.sites:
                scale = state.scale(ctx.layer, site)
                if scale is not None:
                    state.add_gradient(ctx.layer, site, (grad[rows, columns].float() * x[rows, columns].float()).sum(0))
                    grad_x[rows, columns] *= scale
        return grad_x, None, None, None
