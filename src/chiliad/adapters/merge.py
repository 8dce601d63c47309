"""What an adapter adds to each matrix of its base, as plain numbers for exporters that know no tensors library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from chiliad.adapters.basis import BasisFolder
from chiliad.adapters.files import always_active, as_lora, load_adapter
from chiliad.adapters.lora import LoraAdapter
from chiliad.adapters.names import ATTENTION_SITES

Matrix = npt.NDArray[np.float32]


class Deltas(Mapping[str, Matrix]):
    """Weight name of the base (`model.layers.0.mlp.up_proj.weight`) -> scale * B @ A, float32 [out, in].

    Products are made when asked for, because all of them together are as large as the base.
    """

    def __init__(self, adapter: LoraAdapter) -> None:
        self.rank = adapter.rank
        self._factors = {weight_name(layer, site): pair for (layer, site), pair in adapter.factors.items()}

    @classmethod
    def of_version(cls, folder: Path, *, base_fingerprint: str) -> Deltas:
        """Read the adapter in a version's folder in full precision. Raises WrongBase, BrokenAdapter (also for one that adds
        no such matrices, or not to all tokens)."""
        basis = BasisFolder.of_version(folder)
        adapter = load_adapter(folder, base_fingerprint=base_fingerprint, dtype=torch.float32, basis=basis)
        return cls(as_lora(always_active(adapter)))

    def __getitem__(self, name: str) -> Matrix:
        a, b = self._factors[name]
        return (b.float() @ a.float()).numpy()

    def __iter__(self) -> Iterator[str]:
        return iter(self._factors)

    def __len__(self) -> int:
        return len(self._factors)

    def factors(self, name: str) -> tuple[Matrix, Matrix]:
        """A [rank, in] and B [out, rank], the scale folded into B."""
        a, b = self._factors[name]
        return a.float().numpy(), b.float().numpy()

    def shape(self, name: str) -> tuple[int, int]:
        """(out, in) of the matrix that is added to."""
        a, b = self._factors[name]
        return b.shape[0], a.shape[1]


def weight_name(layer: int, site: str) -> str:
    block = "self_attn" if site in ATTENTION_SITES else "mlp"
    return f"model.layers.{layer}.{block}.{site}.weight"
