"""How much an adapter changes each matrix of its base."""

from __future__ import annotations

from dataclasses import dataclass

from chiliad.adapters import LoraAdapter
from chiliad.adapters.spectrum import spectra
from chiliad.models import Llama


@dataclass(frozen=True)
class Change:
    """size: Frobenius norm of the change over that of the matrix; effective_rank: how many directions carry it; values:
    its singular values, largest first."""

    layer: int
    site: str
    size: float
    effective_rank: float
    values: tuple[float, ...]


def changes_of(adapter: LoraAdapter, base: Llama) -> tuple[Change, ...]:
    """In the order of layers, and of sites within a layer."""
    norms = _norms(base)
    found = spectra(adapter)
    return tuple(
        Change(*key, found[key].norm / norms[key], found[key].effective_rank, tuple(map(float, found[key].values)))
        for key in norms
        if key in found
    )


def _norms(base: Llama) -> dict[tuple[int, str], float]:
    """(layer, site) -> Frobenius norm of the base's matrix."""
    return {key: float(weight.float().norm()) for key, weight in base.weights()}
