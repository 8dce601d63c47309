"""The reference runner in plain PyTorch: one flat row of tokens through the model for all chunks of a step."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import replace

import torch
from torch import Tensor

from chiliad.adapters import Adapter, AdapterHash, CoreAdapter, Ia3Adapter, LoraAdapter, PrefixAdapter
from chiliad.adapters.prefix import VIRTUAL_TOKENS_MAX
from chiliad.config import EngineSettings
from chiliad.engine.attention import BatchAttention
from chiliad.engine.kv_cache import KVCache, token_bytes
from chiliad.engine.mixed_lora import MixedLora, Span
from chiliad.engine.prefixes import require_positions
from chiliad.engine.runner import Chunk, PreparedAdapter, SequenceId
from chiliad.models import Transformer

LANES = 32
"""at the least, that the memory for keys and values has room for: of each length one may be half empty"""


class TorchRunner:
    """Implements `Runner`. Tokens of prompts come first, then one token for each decoding sequence in cache order."""

    def __init__(self, model: Transformer, settings: EngineSettings) -> None:
        self._model = model
        self._device = model.embedding.device
        self._context_max = settings.context_max
        longest = settings.context_max + VIRTUAL_TOKENS_MAX
        self._tokens_max = max(settings.context_max, settings.kv_cache_bytes // token_bytes(model.config, model.dtype))
        lane_tokens = self._tokens_max // LANES
        self._cache = KVCache(model.config, model.dtype, self._device, context_max=longest, lane_tokens=lane_tokens)
        self._virtual: dict[SequenceId, int] = {}
        self._lora = MixedLora(model)
        self._adapter_of: dict[SequenceId, AdapterHash] = {}

    @property
    def sequences(self) -> int:
        """Sequences that have not been released."""
        return len(self._cache)

    @property
    def tokens_free(self) -> int:
        return self._tokens_max - self._cache.tokens_used

    @property
    def weight_bytes(self) -> int:
        """It computes with the model's own."""
        return 0

    @property
    def kv_bytes(self) -> int:
        return self._cache.bytes

    @property
    def adapters(self) -> int:
        """Distinct adapters in use."""
        return len(self._lora)

    def prepare(self, adapter: Adapter) -> Adapter:
        """Raises NotServed for a prefix that leaves a full context too few positions."""
        if isinstance(adapter, PrefixAdapter):
            positions = self._model.config.max_position_embeddings
            require_positions(adapter.shape.virtual_tokens, self._context_max, positions)
        return self._lora.prepare(adapter)

    def begin(
        self, sequence: SequenceId, prompt: Many[int], adapter: PreparedAdapter | None, acts_from: int = 0
    ) -> int:
        """Nothing is shared here: always 0."""
        self._virtual[sequence] = _virtual_tokens(adapter)
        return 0

    @torch.inference_mode()
    def reserve(self, sequence: SequenceId, length: int) -> bool:
        """Counts the whole lanes that the tokens lie in. A sequence alone always fits, whatever stands before its tokens."""
        tokens = self._virtual.get(sequence, 0) + length
        alone = len(self._cache) == (sequence in self._cache)
        if not alone and self._cache.tokens + self._cache.tokens_wanting(sequence, tokens) > self._tokens_max:
            return False
        try:
            self._cache.extend(sequence, tokens)
        except RuntimeError:  # the machine has less
            return False
        return True

    @torch.inference_mode()
    def run(self, chunks: Many[Chunk]) -> Tensor:
        if not chunks:
            return torch.empty(0, self._model.config.vocab_size)
        chunks = [_after_prefix(chunk) for chunk in chunks]
        self._make_room(chunks)
        ordered = sorted(chunks, key=self._order)
        ids = torch.tensor([token for chunk in ordered for token in chunk.tokens], device=self._device)
        positions = torch.tensor([p for chunk in ordered for p in range(chunk.start, chunk.end)], device=self._device)
        starts = _starts(ordered)
        attend = BatchAttention(self._cache, ordered, self._model.config)
        spans = [
            Span(starts[c.sequence], starts[c.sequence] + len(c.tokens), c.adapter)
            for c in ordered
            if isinstance(c.adapter, LoraAdapter | CoreAdapter | Ia3Adapter)
        ]
        hidden = self._model.hidden(ids, positions, attend, self._lora.batch(spans))
        rows = [row for chunk in chunks for row in _logit_rows(chunk, starts[chunk.sequence])]
        return self._model.logits(hidden if rows == list(range(len(ids))) else hidden[rows]).cpu()

    @torch.inference_mode()
    def release(self, sequence: SequenceId) -> None:
        self._virtual.pop(sequence, None)
        self._cache.release(sequence)
        adapter = self._adapter_of.pop(sequence, None)
        if adapter is not None:
            self._lora.drop(adapter)

    def _make_room(self, chunks: Many[Chunk]) -> None:
        """Place new sequences, lengthen the others, then close what gaps are left."""
        for chunk in chunks:
            if chunk.adapter is not None and chunk.sequence not in self._adapter_of:
                self._lora.hold(chunk.adapter.hash)
                self._adapter_of[chunk.sequence] = chunk.adapter.hash
                self._virtual[chunk.sequence] = _virtual_tokens(chunk.adapter)
                self._place_prefix(chunk.sequence, chunk.adapter)
            self._cache.extend(chunk.sequence, chunk.end)
        self._cache.close_gaps()

    def _place_prefix(self, sequence: SequenceId, adapter: PreparedAdapter) -> None:
        """A prefix is what a sequence's row begins with."""
        if isinstance(adapter, PrefixAdapter):
            count = adapter.shape.virtual_tokens
            self._cache.extend(sequence, count)
            lane = self._cache.lane(sequence)
            for (layer, _), parts in adapter.layers.items():
                for cached, part in zip((lane.keys, lane.values), parts, strict=True):
                    cached[layer, lane.slots[sequence], :, :count] = part.transpose(0, 1)

    def _order(self, chunk: Chunk) -> tuple[int, int, int]:
        """Prompts that start now together, equal lengths side by side; decoding tokens last, in cache order."""
        lane = self._cache.lane(chunk.sequence)
        if len(chunk.tokens) == 1:
            return 1, self._cache.lane_number(chunk.sequence), lane.slots[chunk.sequence]
        return 0, chunk.start, len(chunk.tokens)


def _virtual_tokens(adapter: PreparedAdapter | None) -> int:
    return adapter.shape.virtual_tokens if isinstance(adapter, PrefixAdapter) else 0


def _after_prefix(chunk: Chunk) -> Chunk:
    """The chunk where its tokens stand in the cache, and in which positions."""
    virtual = _virtual_tokens(chunk.adapter)
    return replace(chunk, start=chunk.start + virtual) if virtual else chunk


def _starts(chunks: Many[Chunk]) -> dict[SequenceId, int]:
    """The place of each chunk's first token in the flat row."""
    starts, place = {}, 0
    for chunk in chunks:
        starts[chunk.sequence] = place
        place += len(chunk.tokens)
    return starts


def _logit_rows(chunk: Chunk, start: int) -> range:
    stop = start + len(chunk.tokens)
    return range(stop - chunk.rows, stop)
