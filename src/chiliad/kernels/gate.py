"""The gate of the MLP and the way back through it. Shazeer 2020 (arXiv 2002.05202)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from chiliad.kernels.dispatch import native_for


def swiglu(gate_up: Tensor) -> Tensor:
    """[..., 2 * width], gate first -> silu(gate) * up, [..., width]."""
    native = native_for(gate_up)
    if native is None:
        return plain_swiglu(gate_up)
    width = gate_up.shape[-1] // 2
    y = gate_up.new_empty(*gate_up.shape[:-1], width)
    native.swiglu(gate_up.data_ptr(), y.data_ptr(), y.numel() // width, width)
    return y


def swiglu_backward(grad: Tensor, gate_up: Tensor) -> Tensor:
    """The gradient of gate_up from that of the result."""
    grad = grad.contiguous()
    native = native_for(grad, gate_up)
    if native is None:
        return plain_swiglu_backward(grad, gate_up)
    out, width = torch.empty_like(gate_up), grad.shape[-1]
    native.swiglu_backward(grad.data_ptr(), gate_up.data_ptr(), out.data_ptr(), grad.numel() // width, width)
    return out


def plain_swiglu(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up


def plain_swiglu_backward(grad: Tensor, gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    out = torch.empty_like(gate_up)
    grad_gate, grad_up = out.chunk(2, dim=-1)
    torch.mul(grad, F.silu(gate), out=grad_up)
    grad_gate.copy_(torch.ops.aten.silu_backward(grad * up, gate))
    return out
