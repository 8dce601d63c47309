"""What the trainer asks of an expert's trainable state, whatever its kind."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from chiliad.adapters import AdapterShape, CoreShape, Factors, Ia3Shape, PrefixShape
from chiliad.models import Transformer
from chiliad.training.core_state import CoreState
from chiliad.training.lora_state import LoraState
from chiliad.training.prefix_state import PrefixState
from chiliad.training.scale_state import ScaleState


class ExpertState(Protocol):
    """One flat float32 vector of master weights and one of their gradients."""

    master: Tensor
    grad: Tensor

    @property
    def seen(self) -> LoraState | ScaleState | PrefixState:
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


def new_state(model: Transformer, shape: AdapterShape, seed: int) -> LoraState | CoreState | ScaleState | PrefixState:
    """An expert at its start: it computes what the base does, unless it is a prefix."""
    if isinstance(shape, CoreShape):
        return CoreState(model.config, shape, model.dtype)
    if isinstance(shape, Ia3Shape):
        return ScaleState(model.config, shape, model.dtype)
    if isinstance(shape, PrefixShape):
        return PrefixState(model, shape, seed)
    return LoraState(model.config, shape, model.dtype, seed)
