"""Block-diagonal causal attention for packed rows.

PyTorch's fused attention has a slow backward on CPU for rows this short (15 ms against 4 ms per layer and 1,024 tokens of
SmolLM2 on two Zen 4 cores), so this is three batched matrix products and a softmax, with query heads that share a key head
folded into one product.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import Function

from chiliad.models import TransformerConfig, visible
from chiliad.training.lora_state import LoraState
from chiliad.training.packed import Packed, virtual_tokens
from chiliad.training.prefix_state import PrefixState
from chiliad.training.rows import Grid
from chiliad.training.scale_state import ScaleState

Before = tuple[Tensor, Tensor] | None
"""keys and values [virtual tokens, kv_heads, head_dim] that all rows see before their own"""


class PackedAttention:
    """`Attend` for packed batches: rows see themselves and what their own expert's rows begin with."""

    def __init__(self, packed: Packed, config: TransformerConfig) -> None:
        self._windows = [config.window(layer) for layer in range(config.num_layers)]
        self._parts = {
            window: [
                (segment, _GridAttention(segment.batch.grid, window, virtual_tokens(segment.state)))
                for segment in packed.segments
            ]
            for window in set(self._windows)
        }

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        parts = self._parts[self._windows[layer]]
        return torch.cat(
            [attend(q[one.tokens], k[one.tokens], v[one.tokens], _before(one.state, layer)) for one, attend in parts]
        )


def _before(state: LoraState | ScaleState | PrefixState, layer: int) -> Before:
    return state.keys_values(layer) if isinstance(state, PrefixState) else None


class _GridAttention:
    """Attention within one batch laid out by `grid`, all rows after `before` virtual tokens; heads and sizes are read from
    the tensors."""

    def __init__(self, grid: Grid, window: int | None, before: int) -> None:
        self.grid = grid
        self.hidden_cells = ~visible(grid.width, before + grid.width, window)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, before: Before) -> Tensor:
        rows, width = self.grid.rows, self.grid.width
        heads, head_dim, kv_heads = q.shape[1], q.shape[2], k.shape[1]
        queries = self._spread(q).view(rows, width, kv_heads, heads // kv_heads, head_dim)
        queries = queries.permute(0, 2, 3, 1, 4).reshape(rows * kv_heads, -1, head_dim)
        keys, values = (
            self._spread(t).view(rows, width, kv_heads, head_dim).transpose(1, 2).reshape(-1, width, head_dim)
            for t in (k, v)
        )
        if before is not None:
            keys, values = (
                torch.cat((own.transpose(0, 1).repeat(rows, 1, 1), t), dim=1)
                for own, t in zip(before, (keys, values), strict=True)
            )
        scores = torch.bmm(queries * head_dim**-0.5, keys.transpose(1, 2))
        scores = scores.view(-1, width, keys.shape[1]).masked_fill(self.hidden_cells, float("-inf"))
        weights = torch.softmax(scores, dim=-1).view(rows * kv_heads, -1, keys.shape[1])
        out = torch.bmm(weights, values).view(rows, kv_heads, heads // kv_heads, width, head_dim)
        return self._gather(out.permute(0, 3, 1, 2, 4).reshape(rows * width, heads * head_dim))

    def _spread(self, x: Tensor) -> Tensor:
        return cast(Tensor, _Pick.apply(x.flatten(1), self.grid))  # type: ignore[no-untyped-call]

    def _gather(self, x: Tensor) -> Tensor:
        return cast(Tensor, _Scatter.apply(x, self.grid.slots))  # type: ignore[no-untyped-call]


class _Pick(Function):
    """tokens -> cells. Filled-up cells receive no gradient, so the way back selects the real cells; what the rows share
    receives the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Grid) -> Tensor:
        ctx.grid = grid
        return x[grid.cells]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        grid = ctx.grid
        out = grad[grid.slots]
        if grid.shared:
            out[: grid.shared] = grad.view(grid.rows, grid.width, -1)[:, : grid.shared].sum(0)
        return out, None


class _Scatter(Function):
    """cells -> tokens; on the way back the filled-up cells get zero."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slots: Tensor) -> Tensor:
        ctx.save_for_backward(slots)
        ctx.cells = x.shape[0]
        return x[slots]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (slots,) = ctx.saved_tensors
        out = grad.new_zeros(ctx.cells, grad.shape[1])
        out[slots] = grad
        return out, None
