"""Whether an adapter belongs to a model of this shape."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from chiliad.adapters import Adapter, CoreAdapter, Ia3Adapter, PrefixAdapter
from chiliad.adapters.prefix import BEFORE
from chiliad.adapters.stored_pairs import Key, Places, StoredPairs
from chiliad.errors import BrokenAdapter
from chiliad.models import SITES, TransformerConfig

LAYOUTS_KEPT = 16

Shape = tuple[int, ...]


def require_fit(adapter: Adapter, config: TransformerConfig) -> None:
    """Raises BrokenAdapter when a tensor does not fit the model."""
    unfit = _unfit(adapter, config)
    if unfit is not None:
        layer, site = unfit
        raise BrokenAdapter(
            f"The adapter {adapter.hash[:12]} does not fit this base at {site} of layer {layer}.",
            fix="Serve it with the base that it was trained on.",
        )


def _unfit(adapter: Adapter, config: TransformerConfig) -> Key | None:
    if isinstance(adapter, Ia3Adapter):
        return _first_unfit_scale(adapter, config)
    if isinstance(adapter, PrefixAdapter):
        return _first_unfit_prefix(adapter, config)
    if isinstance(adapter, CoreAdapter):
        return _first_unfit_pair(
            ((key, a.shape, b.shape) for key, (a, b) in adapter.basis.pairs()), adapter.rank, config
        )
    if isinstance(adapter.factors, StoredPairs):
        return _first_unfit_place(adapter.factors.places, adapter.rank, config)
    return _first_unfit_pair(((key, a.shape, b.shape) for key, (a, b) in adapter.factors.items()), adapter.rank, config)


def _first_unfit_pair(pairs: Iterable[tuple[Key, Shape, Shape]], rank: int, config: TransformerConfig) -> Key | None:
    """pairs: the shapes of A and B"""
    for (layer, site), a, b in pairs:
        width_in, width_out = config.widths(site) if site in SITES else (0, 0)
        if not (layer < config.num_layers and a == (rank, width_in) and b == (width_out, rank)):
            return layer, site
    return None


@lru_cache(LAYOUTS_KEPT)
def _first_unfit_place(places: Places, rank: int, config: TransformerConfig) -> Key | None:
    """Once for all files of a layout."""
    return _first_unfit_pair(((key, a.shape, b.shape) for key, (a, b) in places.pairs.items()), rank, config)


def _first_unfit_scale(adapter: Ia3Adapter, config: TransformerConfig) -> Key | None:
    for (layer, site), scale in adapter.scales.items():
        if not (layer < config.num_layers and scale.shape == (config.scaled_width(site),)):
            return layer, site
    return None


def _first_unfit_prefix(adapter: PrefixAdapter, config: TransformerConfig) -> Key | None:
    """All layers have one: it stands in each before a sequence's own tokens."""
    size = (adapter.shape.virtual_tokens, config.num_kv_heads, config.head_dim)
    for layer in range(max(config.num_layers, len(adapter.layers))):
        parts = adapter.layers.get((layer, BEFORE), ())
        if not (layer < config.num_layers and parts and all(part.shape == size for part in parts)):
            return layer, BEFORE
    return None
