"""LoRA adapters of one base brought onto a basis that they share, as near as a rank allows.

For each linear layer: orthonormal U and V and a core R for each adapter, such that the sum over adapters of
|D - U R V|^2 / |D|^2 for their changes D = B A is small (Brueel-Gabrielsson et al. 2024, arXiv 2407.00066, "JD-Full"). Given
V, the best U are the leading directions of all D V' side by side, and the other way round; R = U' D V' is best for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chiliad.adapters.basis import Basis
from chiliad.adapters.lora import LoraAdapter
from chiliad.adapters.spectrum import Spectrum
from chiliad.errors import BrokenAdapter

ROUNDS = 10
"""of turns between U and V"""

Key = tuple[int, str]


@dataclass(frozen=True)
class Compressed:
    """cores: one mapping for each adapter, (layer, site) -> (R [rank, rank],); errors: |D - U R V| / |D| of each, over all
    layers, Frobenius norms, with the numbers as they are kept."""

    basis: Basis
    cores: tuple[dict[Key, tuple[Tensor]], ...]
    errors: tuple[float, ...]


def compressed(adapters: Sequence[LoraAdapter], rank: int) -> Compressed:
    """Raises BrokenAdapter for adapters that differ in which layers they change, or a rank that these don't have."""
    keys = list(adapters[0].factors)
    if any(adapter.factors.keys() != adapters[0].factors.keys() for adapter in adapters):
        raise BrokenAdapter(
            "These adapters change different linear layers.", fix="Compress together those that were trained alike."
        )
    rank_max = min(min(b.shape[0], a.shape[1]) for a, b in adapters[0].factors.values())
    if rank > rank_max:
        raise BrokenAdapter(f"The layers have no basis of rank {rank}.", fix=f"Give a rank of at most {rank_max}.")
    found = {key: _joint([adapter.factors[key] for adapter in adapters], rank) for key in keys}
    basis = _basis({key: (down, up) for key, (down, up, _) in found.items()})
    cores = tuple({key: (found[key][2][i].bfloat16(),) for key in keys} for i in range(len(adapters)))
    errors = tuple(_error(adapter, basis, own) for adapter, own in zip(adapters, cores, strict=True))
    return Compressed(basis, cores, errors)


def _joint(pairs: Sequence[tuple[Tensor, Tensor]], rank: int) -> tuple[Tensor, Tensor, list[Tensor]]:
    """pairs: A [own rank, in] and B [out, own rank] of each adapter -> V [rank, in], U [out, rank], and each one's R."""
    exact = [(a.float(), b.float()) for a, b in pairs]
    sizes = [max(Spectrum.of(a, b).norm, 1e-30) for a, b in exact]
    weighed = [(a, b / size) for (a, b), size in zip(exact, sizes, strict=True)]
    up = _directions([b @ _root(a) for a, b in weighed], rank)
    for _ in range(ROUNDS):
        down = _directions([a.T @ (b.T @ up) for a, b in weighed], rank)
        up = _directions([b @ (a @ down) for a, b in weighed], rank)
    return down.T, up, [(up.T @ b) @ (a @ down) for a, b in exact]


def _root(a: Tensor) -> Tensor:
    """What stands for A when only D D' = B (A A') B' counts: [own rank, own rank]."""
    _, r = torch.linalg.qr(a.T)
    root: Tensor = r.T
    return root


def _directions(columns: Sequence[Tensor], rank: int) -> Tensor:
    """Leading left singular vectors [n, rank] of matrices side by side; any others to make up the number."""
    side_by_side = torch.cat(list(columns), dim=1)
    found: Tensor = torch.linalg.svd(side_by_side, full_matrices=False).U[:, :rank]
    if found.shape[1] < rank:
        found = torch.linalg.qr(torch.cat((found, torch.eye(len(found))[:, : rank - found.shape[1]]), dim=1)).Q
    return found


def _basis(pairs: dict[Key, tuple[Tensor, Tensor]]) -> Basis:
    layers = 1 + max(layer for layer, _ in pairs)
    sites = list(dict.fromkeys(site for _, site in pairs))
    if len(pairs) != layers * len(sites):
        raise BrokenAdapter("These adapters leave out some layers.", fix="Compress those that change all of them.")
    halves = [{site: torch.stack([pairs[layer, site][i] for layer in range(layers)]) for site in sites} for i in (0, 1)]
    return Basis.made_of(*({site: one.bfloat16() for site, one in half.items()} for half in halves))


def _error(adapter: LoraAdapter, basis: Basis, cores: dict[Key, tuple[Tensor]]) -> float:
    """What is left of B A - U R V is itself a product of two thin matrices."""
    left = whole = 0.0
    for key, (down, up) in basis.pairs():
        a, b = (factor.float() for factor in adapter.factors[key])
        back = up.float() @ cores[key][0].float()
        left += Spectrum.of(torch.cat((a, down.float())), torch.cat((b, -back), dim=1)).norm ** 2
        whole += Spectrum.of(a, b).norm ** 2
    return float((left / max(whole, 1e-30)) ** 0.5)
