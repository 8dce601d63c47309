"""What an adapter changes, direction by direction, and the adapter of a smaller rank that comes closest to it.

The singular values of B A follow from a small matrix, so that the change itself, which is as large as the base, is never
formed: B = Q R and A' = P S give B A = Q (R S') P', and R S' is rank x rank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from chiliad.adapters.lora import LoraAdapter, LoraShape

Factors = dict[tuple[int, str], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Spectrum:
    """The change of one matrix as left @ diag(values) @ right.

    values: [directions], largest first; left: [out, directions] and right: [directions, in], orthonormal. float32. There are
    as many directions as the adapter has rank, or as the matrix has rows or columns where those are fewer.
    """

    values: Tensor
    left: Tensor
    right: Tensor

    @classmethod
    def of(cls, down: Tensor, up: Tensor) -> Spectrum:
        """down: A [rank, in]; up: B [out, rank], with its scale."""
        q, r = torch.linalg.qr(up.float())
        p, s = torch.linalg.qr(down.float().T)
        u, values, v = torch.linalg.svd(r @ s.T, full_matrices=False)
        return cls(values, q @ u, v @ p.T)

    @property
    def norm(self) -> float:
        """Frobenius norm of the change."""
        return float(self.values.norm())

    @property
    def effective_rank(self) -> float:
        """How many directions it uses: the exponential of the entropy of the values' shares (Roy and Vetterli 2007).

        0 for no change at all.
        """
        total = float(self.values.sum())
        if total == 0:
            return 0.0
        shares = self.values[self.values > 0].double() / total
        return math.exp(-float((shares * shares.log()).sum()))

    def cut(self, rank: int) -> tuple[Tensor, Tensor]:
        """A [rank, in] and B [out, rank] of the closest change of this rank (Eckart and Young 1936), sharing the values
        evenly, with zeros where there are fewer directions."""
        root = self.values[:rank].sqrt()
        down, up, missing = self.right[:rank] * root[:, None], self.left[:, :rank] * root, rank - len(root)
        return F.pad(down, (0, 0, 0, missing)), F.pad(up, (0, missing))


def spectra(adapter: LoraAdapter) -> dict[tuple[int, str], Spectrum]:
    """(layer, site) -> what is changed there."""
    return {key: Spectrum.of(down, up) for key, (down, up) in adapter.factors.items()}


def pruned(adapter: LoraAdapter, rank: int) -> tuple[LoraShape, Factors]:
    """The closest adapter of a rank up to the adapter's own: its shape, of the same scale, and its unscaled factors."""
    assert 1 <= rank <= adapter.rank
    scale, shape = adapter.shape.scale, adapter.shape
    alpha = scale * (math.sqrt(rank) if shape.rslora else rank)
    cuts = {key: spectrum.cut(rank) for key, spectrum in spectra(adapter).items()}
    targets = tuple(sorted({site for _, site in cuts}))
    return replace(shape, rank=rank, alpha=alpha, targets=targets), {
        key: (down, up / scale) for key, (down, up) in cuts.items()
    }
