"""RMSNorm and the way back through it. Zhang and Sennrich 2019 (arXiv 1910.07467)."""

from __future__ import annotations

import torch
from torch import Tensor

from chiliad.kernels.dispatch import native_for


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x: [..., width]; weight: [width] -> (x * scale * weight, scale [..., 1] in float32)."""
    native = native_for(x, weight)
    if native is None:
        return plain_rms_norm(x, weight, eps)
    width = x.shape[-1]
    y, scale = torch.empty_like(x), torch.empty(*x.shape[:-1], 1, dtype=torch.float32)
    native.rms_norm(x.data_ptr(), weight.data_ptr(), eps, y.data_ptr(), scale.data_ptr(), x.numel() // width, width)
    return y, scale


def rms_norm_backward(grad: Tensor, x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """The gradient of x, from that of the result and the `scale` of the way there."""
    grad = grad.contiguous()
    native = native_for(grad, x, weight)
    if native is None:
        return plain_rms_norm_backward(grad, x, weight, scale)
    width = x.shape[-1]
    out = torch.empty_like(x)
    native.rms_norm_backward(
        grad.data_ptr(),
        x.data_ptr(),
        weight.data_ptr(),
        scale.data_ptr(),
        out.data_ptr(),
        x.numel() // width,
        width,
    )
    return out


def plain_rms_norm(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    wide = x.to(torch.float32, copy=True)
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return wide.mul_(scale).to(x.dtype) * weight, scale


def plain_rms_norm_backward(grad: Tensor, x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    normed = x.float() * scale
    inner = (grad * weight).float()
    dot = (inner * normed).mean(-1, keepdim=True)
    return inner.sub_(normed.mul_(dot)).mul_(scale).to(x.dtype)
