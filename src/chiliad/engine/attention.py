"""Attention of one step: every token sees its own sequence up to itself, in the cache.

A prompt's chunk goes through PyTorch's fused attention. With one query for each sequence that is the slow path on a CPU;
decoding tokens go through two batched matrix products over the rows of a lane, padded to the longest. Layers with a window
see less of what is cached; they have parts of their own, unless nobody is that long.
"""

from __future__ import annotations

from functools import partial
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from chiliad.engine.kv_cache import KVCache, Lane
from chiliad.engine.runner import Chunk
from chiliad.models import TransformerConfig, visible


class BatchAttention:
    """Writes a step's keys and values into the cache and attends. Implements the model's `Attend`.

    Chunks are in the order of the flat row of tokens: those of several tokens first, then those of one, lane by lane in
    the order of their rows. The cache has room for all of them.
    """

    def __init__(self, cache: KVCache, chunks: list[Chunk], config: TransformerConfig) -> None:
        longest = max(chunk.end for chunk in chunks)
        windows = map(config.window, range(config.num_layers))
        self._windows = [window if window and window < longest else None for window in windows]
        self._writes = _writes(cache, chunks)
        self._parts: dict[int | None, list[Part]] = {w: _parts(cache, chunks, w) for w in set(self._windows)}

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        for write in self._writes:
            write(layer, k, v)
        parts = [part(layer, q, k, v) for part in self._parts[self._windows[layer]]]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


class Write:
    """Where the step's tokens of one lane go."""

    def __init__(self, lane: Lane, tokens: list[int], rows: list[int], positions: list[int]) -> None:
        kv_heads = lane.keys.shape[2]
        heads = torch.arange(kv_heads)
        places = (torch.tensor(rows).unsqueeze(-1) * kv_heads + heads) * lane.capacity
        self._lane = lane
        self._places = (places + torch.tensor(positions).unsqueeze(-1)).flatten()
        self._tokens = torch.tensor(tokens)

    def __call__(self, layer: int, k: Tensor, v: Tensor) -> None:
        everything = len(self._tokens) == len(k)
        for cached, new in ((self._lane.keys, k), (self._lane.values, v)):
            mine = new if everything else new[self._tokens]
            cached[layer].flatten(0, 2).index_copy_(0, self._places, mine.flatten(0, 1))


class Fresh:
    """Prompts of one length that begin in this step: what they see is in this step."""

    def __init__(self, tokens: slice, prompts: int, window: int | None) -> None:
        length = (tokens.stop - tokens.start) // prompts
        self._tokens = tokens
        self._prompts = prompts
        self._mask = visible(length, length, window) if window and window < length else None

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (x[self._tokens].unflatten(0, (self._prompts, -1)).transpose(1, 2) for x in (q, k, v))
        causal = self._mask is None
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=self._mask, is_causal=causal, enable_gqa=True)
        return seen.transpose(1, 2).flatten(2).flatten(0, 1)


class Continued:
    """A later chunk of one sequence: it sees what is cached of it, and itself causally."""

    def __init__(self, tokens: slice, lane: Lane, row: int, chunk: Chunk, window: int | None) -> None:
        self._tokens = tokens
        self._lane, self._row, self._end = lane, row, chunk.end
        self._mask = visible(len(chunk.tokens), chunk.end, window)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        queries = q[self._tokens].transpose(0, 1).unsqueeze(0)
        keys, values = self._cached(self._lane.keys, layer), self._cached(self._lane.values, layer)
        seen = F.scaled_dot_product_attention(queries, keys, values, attn_mask=self._mask, enable_gqa=True)
        return seen.squeeze(0).transpose(0, 1).flatten(1)

    def _cached(self, cache: Tensor, layer: int) -> Tensor:
        """[1, kv_heads, end, head_dim]"""
        return cache[layer, self._row, :, : self._end].unsqueeze(0)


class Decode:
    """One token each of a lane's sequences; rows between them that do not decode now are computed and dropped.

    Whole rows go into the products, past the end of their sequences too: PyTorch would copy anything narrower.
    """

    def __init__(self, tokens: slice, lane: Lane, rows: list[int], lengths: list[int], window: int | None) -> None:
        self._tokens = tokens
        self._lane = lane
        self._rows = slice(min(rows), max(rows) + 1)
        seen = torch.zeros(self._rows.stop - self._rows.start, dtype=torch.long)
        places = torch.tensor(rows) - self._rows.start
        seen[places] = torch.tensor(lengths)
        positions = torch.arange(lane.capacity)
        hidden = positions >= seen.unsqueeze(-1)
        if window:
            hidden |= positions < (seen - window).unsqueeze(-1)
        self._mask = torch.zeros(hidden.shape, dtype=lane.keys.dtype).masked_fill_(hidden, -torch.inf).unsqueeze(1)
        self._places = None if len(rows) == len(seen) else places

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q = self._spread(q[self._tokens])
        rows, heads, width = q.shape
        keys = self._lane.keys[layer, self._rows].flatten(0, 1)  # [rows * kv_heads, capacity, head_dim]
        values = self._lane.values[layer, self._rows].flatten(0, 1)
        queries = (q * width**-0.5).view(len(keys), -1, width)
        scores = torch.bmm(queries, keys.transpose(1, 2)).view(rows, heads, -1).add_(self._mask)
        seen = torch.bmm(scores.softmax(-1).view(len(keys), -1, self._lane.capacity), values).view(rows, heads * width)
        return seen if self._places is None else seen[self._places]

    def _spread(self, q: Tensor) -> Tensor:
        if self._places is None:
            return q
        spread = q.new_zeros(len(self._mask), *q.shape[1:])
        spread[self._places] = q
        return spread


Part = Fresh | Continued | Decode


def _writes(cache: KVCache, chunks: list[Chunk]) -> list[Write]:
    """One write for each lane that a step touches."""
    places: dict[int, tuple[Lane, list[int], list[int], list[int]]] = {}
    token = 0
    for chunk in chunks:
        lane = cache.lane(chunk.sequence)
        count = len(chunk.tokens)
        _, tokens, rows, positions = places.setdefault(cache.lane_number(chunk.sequence), (lane, [], [], []))
        tokens += range(token, token + count)
        rows += [lane.slots[chunk.sequence]] * count
        positions += range(chunk.start, chunk.end)
        token += count
    return [Write(*place) for place in places.values()]


def _parts(cache: KVCache, chunks: list[Chunk], window: int | None) -> list[Part]:
    """Neighbours that can be computed together are one part."""
    parts: list[Part] = []
    token = 0
    for _, group in groupby(chunks, key=partial(_together, cache)):
        mine = list(group)
        lane, first = cache.lane(mine[0].sequence), mine[0]
        tokens = slice(token, token + sum(len(chunk.tokens) for chunk in mine))
        token = tokens.stop
        if len(first.tokens) == 1:
            rows = [lane.slots[chunk.sequence] for chunk in mine]
            parts.append(Decode(tokens, lane, rows, [chunk.end for chunk in mine], window))
        elif first.start == 0:
            parts.append(Fresh(tokens, len(mine), window))
        else:
            parts.append(Continued(tokens, lane, lane.slots[first.sequence], first, window))
    return parts


def _together(cache: KVCache, chunk: Chunk) -> tuple[str, int]:
    if len(chunk.tokens) == 1:
        return "decode", cache.lane_number(chunk.sequence)
    return ("fresh", len(chunk.tokens)) if chunk.start == 0 else ("continued", chunk.sequence)
