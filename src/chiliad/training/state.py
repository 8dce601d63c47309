"""What the trainer asks of an expert's trainable state, whatever its kind."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from chiliad.adapters import AdapterShape, CoreShape, Factors, Ia3Shape
from chiliad.models import LlamaConfig
from chiliad.training.core_state import CoreState
from chiliad.training.lora_state import LoraState
from chiliad.training.scale_state import ScaleState


class ExpertState(Protocol):
    """One flat float32 vector of master weights and one of their gradients."""

    master: Tensor
    grad: Tensor

    @property
    def seen(self) -> LoraState | ScaleState:
        """What passes compute with."""
        ...

    def factors(self) -> Factors:
        """(layer, site) -> what the kind has there, as views of the master weights, unscaled."""
        ...

    def load(self, factors: Factors) -> None:
        """Continue from another adapter's factors, unscaled and of this shape."""
        ...

    def refresh(self) -> None:
        """Call after every change of `master`."""
        ...

    def collect(self) -> None:
        """Bring what passes have added since the last step into `grad`."""
        ...


def new_state(
    config: LlamaConfig, shape: AdapterShape, dtype: torch.dtype, seed: int
) -> LoraState | CoreState | ScaleState:
    """An expert at its start: it computes what the base does."""
    if isinstance(shape, CoreShape):
        return CoreState(config, shape, dtype)
    if isinstance(shape, Ia3Shape):
        return ScaleState(config, shape, dtype)
    return LoraState(config, shape, dtype, seed)
