"""The runner for a CPU: one compiled call for each step, in bfloat16 or with the base's matrices in codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass
from functools import lru_cache
from threading import Thread
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from chiliad.adapters import Adapter, AdapterHash, Basis, BasisHash, CoreAdapter, Ia3Adapter, LoraAdapter, PrefixAdapter
from chiliad.adapters.ia3 import IA3_SITES
from chiliad.adapters.stored_pairs import Place, Places, StoredPairs
from chiliad.base import ReadQuantised
from chiliad.config import EngineSettings, Precision
from chiliad.engine.fitting import LAYOUTS_KEPT, require_fit
from chiliad.engine.kv_blocks import BASE, KVBlocks, Origin
from chiliad.engine.native_weights import native_weights
from chiliad.engine.prefixes import prefix_not_served
from chiliad.engine.runner import Chunk, PreparedAdapter, SequenceId
from chiliad.kernels import (
    BLOCK_TOKENS,
    Decoder,
    DecoderWork,
    PackedAdapter,
    PackedCore,
    PackedLora,
    PackedScales,
    SiteFactors,
    SitePlace,
)
from chiliad.models import SITES, Group, Llama, Transformer, TransformerConfig
from chiliad.models.codes import no_codes

Pairs = Mapping[tuple[int, str], tuple[Tensor, Tensor]]
"""(layer, site) -> (A, B)"""


@dataclass(frozen=True)
class NativeAdapter:
    """Implements `PreparedAdapter`."""

    hash: AdapterHash
    packed: PackedAdapter
    invocation: tuple[int, ...] = ()

    @property
    def bytes(self) -> int:
        return self.packed.nbytes


class NativeRunner:
    """Implements `Runner`. A chunk's numbers, to the bit, do not depend on the other chunks or on the threads."""

    def __init__(self, model: Transformer, settings: EngineSettings, quantised: ReadQuantised = no_codes) -> None:
        """`fits(model, settings)`. Raises ConfigError for a model whose matrices have no codes in `settings.precision`.

        quantised: the model's matrices in codes, for those that came so; the others are rounded where codes are wanted.
        """
        self._config = model.config
        self._decoder = Decoder(*native_weights(model, settings.precision, quantised))
        numbers = self._decoder.block_numbers
        idle = settings.prefix_cache_bytes // (2 * numbers)
        one = -(-settings.context_max // BLOCK_TOKENS)
        running = max(one, min(settings.kv_cache_bytes // (2 * numbers), settings.batch_max * one))
        self._cache = KVBlocks(tokens=BLOCK_TOKENS, numbers=numbers, blocks_max=running + idle, idle_max=idle)
        self._logits = torch.empty(0, model.config.vocab_size)
        self._bases: WeakValueDictionary[BasisHash, PackedLora] = WeakValueDictionary()
        self._packed: PackedLora | None = None
        """the last that has been packed since there was no sequence"""

    @staticmethod
    def fits(model: Transformer, settings: EngineSettings) -> bool:
        """Whether the compiled code is here and takes this model."""
        built = NativeRunner.is_built_for(type(model), model.config, settings)
        return built and Decoder.fits(*native_weights(model, Precision.BF16))

    @staticmethod
    def is_built_for(kind: type[Transformer], config: TransformerConfig, settings: EngineSettings) -> bool:
        """Whether there is code for such models: those built like Llama, whose windows hold a whole sequence."""
        windows = [window for window in config.windows if window]
        return issubclass(kind, Llama) and min(windows, default=settings.context_max) >= settings.context_max

    @property
    def weight_bytes(self) -> int:
        return self._decoder.packed_bytes

    @property
    def kv_bytes(self) -> int:
        return 2 * self._decoder.block_numbers * self._cache.blocks

    @property
    def sequences(self) -> int:
        """Sequences that have not been released."""
        return len(self._cache)

    @property
    def tokens_free(self) -> int:
        return self._cache.tokens_free

    def prepare(self, adapter: Adapter) -> NativeAdapter:
        if isinstance(adapter, PrefixAdapter):
            raise prefix_not_served()
        require_fit(adapter, self._config)
        return NativeAdapter(adapter.hash, self._pack(adapter), adapter.invocation)

    def _pack(self, adapter: LoraAdapter | CoreAdapter | Ia3Adapter) -> PackedAdapter:
        if isinstance(adapter, CoreAdapter):
            cores = torch.stack([adapter.cores[site] for site in SITES if site in adapter.cores], dim=1)
            return PackedCore(self._basis(adapter.basis), cores)
        if isinstance(adapter, Ia3Adapter):
            return PackedScales(_scales(adapter, self._config))
        stored = adapter.factors
        if isinstance(stored, StoredPairs):
            groups = _placed_groups(stored.places, self._config)
            self._packed = PackedLora.stored(groups, stored.numbers, stored.scale)
            return self._packed
        return PackedLora.of(_groups(adapter.factors, self._config))

    def _basis(self, basis: Basis) -> PackedLora:
        """Packed once, and kept as long as an adapter needs it."""
        packed = self._bases.get(basis.hash)
        if packed is None:
            packed = self._bases[basis.hash] = PackedLora.of(_groups(dict(basis.pairs()), self._config))
        return packed

    def begin(
        self, sequence: SequenceId, prompt: Many[int], adapter: PreparedAdapter | None, acts_from: int = 0
    ) -> int:
        return self._cache.begin(sequence, Origin(adapter.hash, acts_from) if adapter else BASE, prompt)

    def reserve(self, sequence: SequenceId, length: int) -> bool:
        return self._cache.reserve(sequence, length)

    def run(self, chunks: Many[Chunk]) -> Tensor:
        work = [self._work(chunk) for chunk in chunks]
        logits = self._logits_of(sum(chunk.rows for chunk in chunks))
        self._decoder.run(work, logits)
        for chunk in chunks:
            self._cache.written(chunk.sequence, chunk.tokens)
        return logits

    def release(self, sequence: SequenceId) -> None:
        self._cache.release(sequence)
        if self._packed is not None and not len(self._cache):
            packed, self._packed = self._packed, None
            Thread(target=packed.keep_spare, name="chiliad-spare", daemon=True).start()

    def _work(self, chunk: Chunk) -> DecoderWork:
        assert chunk.end <= self._config.max_position_embeddings
        blocks = self._cache.extend(chunk.sequence, chunk.end)
        return DecoderWork(chunk.tokens, chunk.start, blocks, _packed(chunk.adapter), chunk.rows)

    def _logits_of(self, rows: int) -> Tensor:
        """[rows, vocab], the same memory in every step: fresh pages would cost more than what is computed into them."""
        if len(self._logits) < rows:
            self._logits = torch.empty(rows, self._config.vocab_size)
        return self._logits[:rows]


def _packed(adapter: PreparedAdapter | None) -> PackedAdapter | None:
    assert adapter is None or isinstance(adapter, NativeAdapter), "an adapter comes from this runner's `prepare`"
    return adapter.packed if adapter else None


def _groups(factors: Pairs, config: TransformerConfig) -> Iterator[tuple[int, list[SiteFactors]]]:
    """What `PackedLora.of` wants."""
    sizes = {group: config.group_widths(group) for group in Group}
    for layer in range(config.num_layers):
        for group, (inputs, widths) in sizes.items():
            sites = zip(group.sites, widths, strict=True)
            yield inputs, [SiteFactors(width, factors.get((layer, site))) for site, width in sites]


@lru_cache(LAYOUTS_KEPT)
def _placed_groups(places: Places, config: TransformerConfig) -> list[tuple[int, list[SitePlace]]]:
    """What `PackedLora.stored` wants, once for all files of a layout."""
    groups = []
    for layer in range(config.num_layers):
        for group in Group:
            inputs, widths = config.group_widths(group)
            pairs = [places.pairs.get((layer, site)) for site in group.sites]
            groups.append((inputs, [_site_place(width, pair) for width, pair in zip(widths, pairs, strict=True)]))
    return groups


def _site_place(width: int, pair: tuple[Place, Place] | None) -> SitePlace:
    if pair is None:
        return SitePlace(width, 0, 0, 0)
    down, up = pair
    return SitePlace(width, down.rows, 2 * down.start, 2 * up.start)


def _scales(adapter: Ia3Adapter, config: TransformerConfig) -> Tensor:
    """What `PackedScales` wants: ones where the adapter has nothing."""
    rows = []
    for layer in range(config.num_layers):
        for site in IA3_SITES:
            scale = adapter.scales.get((layer, site))
            rows.append(torch.ones(config.scaled_width(site)) if scale is None else scale.float())
    return torch.cat(rows).view(config.num_layers, -1)
