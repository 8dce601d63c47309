"""The frozen linear layer with a trainable LoRA on it, forward and backward.

Autograd follows the activations only; the factors' gradients go straight into the expert's flat gradient vector. The frozen
matrix gets no gradient, so a token costs 4 FLOP per base parameter instead of 6.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from chiliad.models import Group, Llama
from chiliad.training.lora_state import LoraState


class GroupedLora:
    """`Project` for one expert in training: y = x W^T + (x A^T) B^T."""

    def __init__(self, model: Llama, state: LoraState) -> None:
        self.model, self.state = model, state

    def __call__(self, layer: int, group: Group, x: Tensor) -> Tensor:
        return cast(Tensor, _LoraLinear.apply(x, self.model.weight(layer, group), self.state, layer, group))  # type: ignore[no-untyped-call]


class _LoraLinear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, state: LoraState, layer: int, group: Group) -> Tensor:
        factors = state.group(layer, group)
        y = F.linear(x, weight)
        ctx.state, ctx.layer, ctx.group, ctx.weight = state, layer, group, weight
        if factors is None:
            return y
        low = F.linear(x, factors.down)
        ctx.save_for_backward(x, low)
        return y.addmm_(low, factors.up.t())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        factors = ctx.state.group(ctx.layer, ctx.group)
        grad_x = torch.mm(grad, ctx.weight)
        if factors is not None:
            x, low = ctx.saved_tensors
            grad_low = torch.mm(grad, factors.up)
            ctx.state.add_gradient(ctx.layer, ctx.group, torch.mm(grad_low.t(), x), torch.mm(grad.t(), low))
            grad_x.addmm_(grad_low, factors.down)
        return grad_x, None, None, None, None
