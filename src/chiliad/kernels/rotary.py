"""The rotary embedding. Su et al. 2021 (arXiv 2104.09864). Its way back is the same turn with the sine's sign changed."""

from __future__ import annotations

import torch
from torch import Tensor

from chiliad.kernels.dispatch import native_for


def rotate(x: Tensor, cos: Tensor, sin: Tensor, *, back: bool = False) -> Tensor:
    """x: [tokens, heads, head_dim], heads dense within a token; cos, sin: [tokens, 1, head_dim]; halves layout."""
    native = native_for(x[:1], cos, sin)
    if native is None:
        return plain_rotate(x, cos, sin, back=back)
    tokens, heads, head_dim = x.shape
    y = torch.empty(tokens, heads, head_dim, dtype=x.dtype)
    native.rotate(
        x.data_ptr(),
        x.stride(0),
        cos.data_ptr(),
        sin.data_ptr(),
        -1.0 if back else 1.0,
        y.data_ptr(),
        tokens,
        heads,
        head_dim,
    )
    return y


def plain_rotate(x: Tensor, cos: Tensor, sin: Tensor, *, back: bool = False) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * (-sin if back else sin)
