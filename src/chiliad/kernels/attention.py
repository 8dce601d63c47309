"""Attention of one query for each sequence over its cached keys and values."""

from __future__ import annotations

import torch
from torch import Tensor

from chiliad.kernels.dispatch import native_for

HEAD_DIMS = range(32, 257, 32)
"""that the compiled kernel takes"""


def can_decode(keys: Tensor) -> bool:
    """Whether `decode_attention` takes caches like this one."""
    return native_for(keys) is not None and keys.shape[-1] in HEAD_DIMS


def decode_attention(q: Tensor, keys: Tensor, values: Tensor, rows: Tensor, lengths: Tensor) -> Tensor:
    """Softmax attention at scale head_dim^-0.5; query heads that share a key head lie side by side.

    q: [sequences, heads, head_dim]; keys, values: [cache rows, kv_heads, capacity, head_dim], `can_decode(keys)`; rows,
    lengths: [sequences] int64, the cache row of each sequence and how many of its tokens are seen. Returns [sequences,
    heads * head_dim]. A sequence's bits do not depend on the others, on the capacity or on the threads.
    """
    q = q.contiguous()
    native = native_for(q, keys, values)
    assert native is not None
    sequences, heads, head_dim = q.shape
    _, kv_heads, capacity, _ = keys.shape
    assert keys.shape == values.shape
    assert rows.dtype is lengths.dtype is torch.int64
    out = torch.empty(sequences, heads * head_dim, dtype=q.dtype)
    native.decode_attention(
        q.data_ptr(),
        keys.data_ptr(),
        values.data_ptr(),
        rows.data_ptr(),
        lengths.data_ptr(),
        out.data_ptr(),
        sequences,
        kv_heads,
        heads // kv_heads,
        capacity,
        head_dim,
    )
    return out


def plain_decode_attention(q: Tensor, keys: Tensor, values: Tensor, rows: Tensor, lengths: Tensor) -> Tensor:
    """The same in a few lines of PyTorch."""
    longest = int(lengths.max())
    keys, values = keys[rows, :, :longest], values[rows, :, :longest]
    queries = (q * q.shape[-1] ** -0.5).unflatten(1, (keys.shape[1], -1))
    unseen = torch.arange(longest, device=q.device) >= lengths.unsqueeze(-1)
    scores = (queries @ keys.transpose(-1, -2)).masked_fill(unseen[:, None, None], -torch.inf)
    seen: Tensor = scores.softmax(-1) @ values
    return seen.flatten(1)
