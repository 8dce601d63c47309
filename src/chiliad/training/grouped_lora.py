"""The frozen linear layer with trainable LoRAs on it, forward and backward.

Autograd follows the activations only; the factors' gradients go straight into each expert's flat gradient vector. The frozen
matrix gets no gradient, so a token costs 4 FLOP per base parameter instead of 6.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from chiliad.adapters.ia3 import FEEDFORWARD
from chiliad.models import Group, Transformer
from chiliad.training.grouped_scales import scaled
from chiliad.training.lora_state import LoraState
from chiliad.training.packed import Packed
from chiliad.training.scale_state import ScaleState


class GroupedLora:
    """`Project` for experts in training: y = x W^T + (x A^T) B^T, each segment of the tokens with its expert's A and B.

    Segments of IA3 experts have what goes in or comes out multiplied instead.
    """

    def __init__(self, model: Transformer, packed: Packed) -> None:
        self.model, self.packed = model, packed
        queries, keys, values = model.config.group_widths(Group.QKV)[1]
        self._outputs = [("k_proj", slice(queries, queries + keys)), ("v_proj", slice(-values, None))]

    def __call__(self, layer: int, group: Group, x: Tensor) -> Tensor:
        all_tokens = len(x) == len(self.packed.ids)  # after the last attention there are only those that predict
        parts = [(s.state, s.tokens if all_tokens else s.answers) for s in self.packed.segments]
        loras = [(state, rows) for state, rows in parts if isinstance(state, LoraState)]
        scales = [(state, rows) for state, rows in parts if isinstance(state, ScaleState)]
        if scales and group is Group.DOWN:
            x = scaled(x, scales, layer, [(FEEDFORWARD, slice(None))])
        y = cast(Tensor, _LoraLinear.apply(x, self.model, loras, layer, group))  # type: ignore[no-untyped-call]
        return scaled(y, scales, layer, self._outputs) if scales and group is Group.QKV else y


class _LoraLinear(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, model: Transformer, parts: list[tuple[LoraState, slice]], layer: int, group: Group
    ) -> Tensor:
        y = model.project(layer, group, x)
        lows = []
        for state, rows in parts:
            factors = state.group(layer, group)
            if factors is not None:
                lows.append(F.linear(x[rows], factors.down))
                y[rows].addmm_(lows[-1], factors.up.t())
        ctx.parts, ctx.model, ctx.layer, ctx.group = parts, model, layer, group
        ctx.save_for_backward(x, *lows)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        x, *lows = ctx.saved_tensors
        grad_x = torch.mm(grad, ctx.model.weight(ctx.layer, ctx.group))
        low = iter(lows)
        for state, rows in ctx.parts:
            factors = state.group(ctx.layer, ctx.group)
            if factors is not None:
                grad_low = torch.mm(grad[rows], factors.up)
                down, up = torch.mm(grad_low.t(), x[rows]), torch.mm(grad[rows].t(), next(low))
                state.add_gradient(ctx.layer, ctx.group, down, up)
                grad_x[rows].addmm_(grad_low, factors.down)
        return grad_x, None, None, None, None
