"""Whether an adapter belongs to a model of this shape."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from chiliad.adapters import Adapter, CoreAdapter, Ia3Adapter
from chiliad.errors import BrokenAdapter
from chiliad.models import SITES, LlamaConfig

Fit = tuple[int, str, bool]
"""layer, site, whether what is there fits"""


def require_fit(adapter: Adapter, config: LlamaConfig) -> None:
    """Raises BrokenAdapter when a tensor does not fit the model."""
    for layer, site, fits in _scales(adapter, config) if isinstance(adapter, Ia3Adapter) else _pairs(adapter, config):
        if not (layer < config.num_layers and fits):
            raise BrokenAdapter(
                f"The adapter {adapter.hash[:12]} does not fit this base at {site} of layer {layer}.",
                fix="Serve it with the base that it was trained on.",
            )


def _pairs(adapter: Adapter, config: LlamaConfig) -> Iterator[Fit]:
    assert not isinstance(adapter, Ia3Adapter)
    pairs: dict[tuple[int, str], tuple[Tensor, Tensor]]
    pairs = dict(adapter.basis.pairs()) if isinstance(adapter, CoreAdapter) else dict(adapter.factors)
    for (layer, site), (a, b) in pairs.items():
        width_in, width_out = config.widths(site) if site in SITES else (0, 0)
        yield layer, site, a.shape == (adapter.rank, width_in) and b.shape == (width_out, adapter.rank)


def _scales(adapter: Ia3Adapter, config: LlamaConfig) -> Iterator[Fit]:
    for (layer, site), scale in adapter.scales.items():
        yield layer, site, scale.shape == (config.scaled_width(site),)
