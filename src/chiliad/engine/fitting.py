"""Whether an adapter belongs to a model of this shape."""

from __future__ import annotations

from chiliad.adapters import LoraAdapter
from chiliad.errors import BrokenAdapter
from chiliad.models import SITES, TransformerConfig


def require_fit(adapter: LoraAdapter, config: TransformerConfig) -> None:
    """Raises BrokenAdapter when a tensor does not fit the model."""
    for (layer, site), (a, b) in adapter.factors.items():
        width_in, width_out = config.widths(site) if layer < config.num_layers and site in SITES else (0, 0)
        if a.shape != (adapter.rank, width_in) or b.shape != (width_out, adapter.rank):
            raise BrokenAdapter(
                f"The adapter {adapter.hash[:12]} does not fit this base at {site} of layer {layer}.",
                fix="Serve it with the base that it was trained on.",
            )
