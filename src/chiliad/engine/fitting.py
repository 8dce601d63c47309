"""Whether an adapter belongs to a model of this shape."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from chiliad.adapters import Adapter, CoreAdapter, Ia3Adapter, LoraAdapter, PrefixAdapter
from chiliad.adapters.prefix import BEFORE
from chiliad.errors import BrokenAdapter
from chiliad.models import SITES, TransformerConfig

Fit = tuple[int, str, bool]
"""layer, site, whether what is there fits"""


def require_fit(adapter: Adapter, config: TransformerConfig) -> None:
    """Raises BrokenAdapter when a tensor does not fit the model."""
    for layer, site, fits in _fits(adapter, config):
        if not (layer < config.num_layers and fits):
            raise BrokenAdapter(
                f"The adapter {adapter.hash[:12]} does not fit this base at {site} of layer {layer}.",
                fix="Serve it with the base that it was trained on.",
            )


def _fits(adapter: Adapter, config: TransformerConfig) -> Iterator[Fit]:
    if isinstance(adapter, Ia3Adapter):
        return _scales(adapter, config)
    return _prefix(adapter, config) if isinstance(adapter, PrefixAdapter) else _pairs(adapter, config)


def _pairs(adapter: LoraAdapter | CoreAdapter, config: TransformerConfig) -> Iterator[Fit]:
    pairs: dict[tuple[int, str], tuple[Tensor, Tensor]]
    pairs = dict(adapter.basis.pairs()) if isinstance(adapter, CoreAdapter) else dict(adapter.factors)
    for (layer, site), (a, b) in pairs.items():
        width_in, width_out = config.widths(site) if site in SITES else (0, 0)
        yield layer, site, a.shape == (adapter.rank, width_in) and b.shape == (width_out, adapter.rank)


def _scales(adapter: Ia3Adapter, config: TransformerConfig) -> Iterator[Fit]:
    for (layer, site), scale in adapter.scales.items():
        yield layer, site, scale.shape == (config.scaled_width(site),)


def _prefix(adapter: PrefixAdapter, config: TransformerConfig) -> Iterator[Fit]:
    """All layers have one: it stands in each before a sequence's own tokens."""
    size = (adapter.shape.virtual_tokens, config.num_kv_heads, config.head_dim)
    for layer in range(max(config.num_layers, len(adapter.layers))):
        parts = adapter.layers.get((layer, BEFORE), ())
        yield layer, BEFORE, len(parts) == 2 and all(part.shape == size for part in parts)
