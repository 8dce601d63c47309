"""What everything that turns texts into vectors can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]


class Embedder(Protocol):
    @property
    def id(self) -> str:
        """Names the weights: vectors of two embedders with different ids must not be compared."""

    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of length 1 per text, in order: [texts, dimensions]. The same text gives the same row, whatever
        stands beside it, up to rounding. An empty text has a vector too.
        """
