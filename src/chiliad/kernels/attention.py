"""Attention of one query for each sequence over its cached keys and values."""

from __future__ import annotations

import torch
from torch import Tensor

from chiliad.kernels.dispatch import native_for

HEAD_DIMS = range(32, 257, 32)
"""that the native kernel takes"""


def decode_attention(q: Tensor, keys: Tensor, values: Tensor, rows: Tensor, lengths: Tensor) -> Tensor:
    """Softmax attention at scale head_dim^-0.5; query heads that share a key head lie side by side.

    q: [sequences, heads, head_dim]; keys, values: [cache rows, kv_heads, capacity, head_dim]; rows, lengths: [sequences],
    the cache row of each sequence and how many of its tokens are seen. Returns [sequences, heads * head_dim]. A sequence's
    bits do not depend on the others, on the capacity or on the threads.
    """
    native = native_for(q[:1], keys, values)
    sequences, heads, head_dim = q.shape
    if native is None or head_dim not in HEAD_DIMS or not sequences:
        return plain_decode_attention(q, keys, values, rows, lengths)
    _, kv_heads, capacity, _ = keys.shape
    out = torch.empty(sequences, heads * head_dim, dtype=q.dtype)
    native.decode_attention(
        q.data_ptr(),
        q.stride(0),
        keys.data_ptr(),
        values.data_ptr(),
        keys.stride(0),
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
    longest = int(lengths.max()) if len(lengths) else 0
    keys, values = keys[rows, :, :longest], values[rows, :, :longest]
    queries = (q * q.shape[-1] ** -0.5).unflatten(1, (keys.shape[1], -1))
    unseen = torch.arange(longest, device=q.device) >= lengths.unsqueeze(-1)
    scores = (queries @ keys.transpose(-1, -2)).masked_fill(unseen[:, None, None], -torch.inf)
    return (scores.softmax(-1) @ values).flatten(1)
