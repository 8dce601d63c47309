"""A base model with one adapter merged into it, matrix by matrix: W + scale * B @ A."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chiliad.adapters.merge import Deltas
from chiliad.base import Base
from chiliad.base.weights import Bits, bf16_bits, read_weights
from chiliad.errors import RegistryError, WrongBase

BF16_STEP = 2.0**-8
"""the relative distance between neighbouring bf16 numbers, at most"""


@dataclass(frozen=True)
class Parity:
    """What was written, read back and compared with what it should be."""

    tensors: int
    difference_max: float
    """the largest absolute difference of any number; rounding to bf16 makes it larger than 0"""
    logprob_difference_max: float | None = None
    """the same for the log-probabilities of a probe text, if whoever exported has an engine"""

    def __str__(self) -> str:
        text = f"{self.tensors} tensors read back, largest difference {self.difference_max:.3g}"
        if self.logprob_difference_max is None:
            return text
        return f"{text}; log-probabilities of a probe text differ by {self.logprob_difference_max:.3g} at most"


class MergedWeights:
    """The tensors of a base, with those that an adapter changes computed when asked for."""

    def __init__(self, base: Base, deltas: Deltas) -> None:
        """Raises WrongBase when the adapter does not fit the base's matrices."""
        self._views = read_weights(base.weights_path)
        self.deltas = deltas
        self.shapes = {name: view.shape for name, view in self._views.items()}
        check_fit(base, deltas, self.shapes)

    def exact(self, name: str) -> npt.NDArray[np.float32]:
        """One tensor in float32, before it is rounded."""
        weight = widened(self._views[name].bf16())
        return weight + self.deltas[name] if name in self.deltas else weight

    def bf16(self, name: str) -> Bits:
        """One tensor as it is written."""
        return bf16_bits(self.exact(name)) if name in self.deltas else self._views[name].bf16()

    def parity(self, read: Callable[[str], Bits]) -> Parity:
        """Compare every tensor of a written file with the exact sum. Raises RegistryError if rounding can't explain it.

        `read` gives a tensor of the file under the base's name and in the base's row order.
        """
        difference_max = 0.0
        for name in self.shapes:
            exact = self.exact(name)
            difference = np.abs(widened(read(name)) - exact)
            if not (difference <= np.abs(exact) * BF16_STEP).all():
                raise RegistryError(
                    f"The exported tensor {name} is not what was merged; nothing was exported.",
                    fix="Check the disk and export again.",
                )
            difference_max = max(difference_max, float(difference.max(initial=0.0)))
        return Parity(len(self.shapes), difference_max)


def check_fit(base: Base, deltas: Deltas, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raises WrongBase unless the base has every matrix that an adapter changes, in its size."""
    for name in deltas:
        if shapes.get(name) != deltas.shape(name):
            raise WrongBase(
                f"The adapter changes {name} of size {deltas.shape(name)}; "
                f"{base.id} has {shapes.get(name, 'no such matrix')}.",
                fix="Name the base that this adapter was trained on with --base.",
            )


def widened(bits: Bits) -> npt.NDArray[np.float32]:
    """bf16 bits -> the same numbers as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
