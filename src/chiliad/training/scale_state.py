"""The trainable state of one expert of the kind IA3: its factors, which start at one."""

from __future__ import annotations

import torch
from torch import Tensor

from chiliad.adapters import Factors, Ia3Shape
from chiliad.models import LlamaConfig


class ScaleState:
    """Implements `ExpertState`. Only plain passes know what to do with it."""

    def __init__(self, config: LlamaConfig, shape: Ia3Shape, dtype: torch.dtype) -> None:
        self.shape, self.dtype = shape, dtype
        keys = [(layer, site) for layer in range(config.num_layers) for site in shape.targets]
        self._widths = {key: config.scaled_width(key[1]) for key in keys}
        self.master, self.grad = torch.ones(sum(self._widths.values())), torch.zeros(sum(self._widths.values()))
        self._grads = self._views(self.grad)
        self._working: dict[tuple[int, str], Tensor] = {}
        self.refresh()

    @property
    def seen(self) -> ScaleState:
        return self

    def scale(self, layer: int, site: str) -> Tensor | None:
        """A working copy of the factors of a site [width]."""
        return self._working.get((layer, site))

    def add_gradient(self, layer: int, site: str, gradient: Tensor) -> None:
        self._grads[layer, site].add_(gradient)

    def factors(self) -> dict[tuple[int, str], tuple[Tensor]]:
        """(layer, site) -> (factors [width],) as views of the master weights."""
        return {key: (view,) for key, view in self._views(self.master).items()}

    def load(self, factors: Factors) -> None:
        views = self._views(self.master)
        for key, (scale,) in factors.items():
            views[key].copy_(scale)
        self.refresh()

    def refresh(self) -> None:
        self._working = self._views(self.master.to(self.dtype, copy=True))

    def collect(self) -> None:
        """Passes add to `grad` itself."""

    def _views(self, flat: Tensor) -> dict[tuple[int, str], Tensor]:
        return dict(zip(self._widths, flat.split(list(self._widths.values())), strict=True))
