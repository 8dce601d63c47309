"""The frozen thin matrices that all experts of the kind shared-basis have in common, and where they are kept.

U and V are the leading singular vectors of each linear layer's own weight, U times its singular values (LoRA-XS, Balazy et
al. 2024, arXiv 2405.17604). Two libraries give them in other bits, so a basis is named by a hash of its numbers and kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NewType

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from chiliad.errors import BrokenAdapter
from chiliad.store.files import write_atomic

BASIS_FOLDER = "basis"
"""in a workspace"""

BasisHash = NewType("BasisHash", str)
"""sha256 of a basis' numbers"""

Weights = Iterable[tuple[tuple[int, str], Tensor]]
"""(layer, site), weight [out, in]"""


@dataclass(frozen=True, eq=False)
class Basis:
    """downs: site -> V [layers, rank, in]; ups: site -> U [layers, out, rank]. bfloat16, so that all who compute with it
    have the same numbers."""

    hash: BasisHash
    downs: Mapping[str, Tensor]
    ups: Mapping[str, Tensor]

    @classmethod
    def of(cls, weights: Weights, rank: int) -> Basis:
        """The leading `rank` directions of every weight; each layer has the same sites."""
        downs: dict[str, list[Tensor]] = {}
        ups: dict[str, list[Tensor]] = {}
        for (_, site), weight in weights:
            down, up = _leading(weight, rank)
            downs.setdefault(site, []).append(down.bfloat16())
            ups.setdefault(site, []).append(up.bfloat16())
        return cls.made_of(
            {site: torch.stack(one) for site, one in downs.items()},
            {site: torch.stack(one) for site, one in ups.items()},
        )

    @classmethod
    def made_of(cls, downs: Mapping[str, Tensor], ups: Mapping[str, Tensor]) -> Basis:
        """With the hash that belongs to these numbers."""
        digest = hashlib.sha256(b"chiliad basis 1\n")
        for site in sorted(downs):
            for tensor in (downs[site], ups[site]):
                digest.update(f"{site} {tuple(tensor.shape)}\n".encode())
                digest.update(tensor.contiguous().view(torch.int16).numpy().tobytes())
        return cls(BasisHash(digest.hexdigest()), dict(downs), dict(ups))

    @property
    def rank(self) -> int:
        return next(iter(self.downs.values())).shape[1]

    @property
    def layers(self) -> int:
        return len(next(iter(self.downs.values())))

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(self.downs)

    def pairs(self) -> Iterator[tuple[tuple[int, str], tuple[Tensor, Tensor]]]:
        """(layer, site), (V [rank, in], U [out, rank])"""
        for site in self.downs:
            for layer in range(self.layers):
                yield (layer, site), (self.downs[site][layer], self.ups[site][layer])

    def to_bytes(self) -> bytes:
        """As a safetensors file."""
        tensors = {f"{site}.down": down for site, down in self.downs.items()}
        return save(tensors | {f"{site}.up": up for site, up in self.ups.items()})

    @classmethod
    def from_bytes(cls, content: bytes) -> Basis:
        """Raises BrokenAdapter."""
        try:
            tensors = load(content)
            downs, ups = ({n.rpartition(".")[0]: t for n, t in tensors.items() if n.endswith(end)} for end in _ENDS)
            whole = downs.keys() == ups.keys() and all(d.shape[1] == ups[s].shape[2] for s, d in downs.items())
        except (SafetensorError, IndexError) as error:
            raise BrokenAdapter(f"A shared basis cannot be read: {error}.", fix=_BRING_BACK) from error
        if not downs or not whole or {t.dtype for t in tensors.values()} != {torch.bfloat16}:
            raise BrokenAdapter("A shared basis lacks parts of what belongs to it.", fix=_BRING_BACK)
        return cls.made_of(downs, ups)


class BasisFolder:
    """The bases that a workspace's experts name, one file each: `<hash>.safetensors`. Each is read once.

    Safe for several processes: a basis is whole or absent, and its name says its content.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[BasisHash, Basis] = {}

    @classmethod
    def of_version(cls, folder: Path) -> BasisFolder:
        """That of the workspace in which a version's folder `experts/<name>/<number>` is."""
        return cls(folder.absolute().parents[2] / BASIS_FOLDER)

    def path(self, name: BasisHash) -> Path:
        return self.root / f"{name}.safetensors"

    def put(self, basis: Basis) -> None:
        """Keep a basis; one that is here already stays. Raises StoreError."""
        self._known.setdefault(basis.hash, basis)
        if not self.path(basis.hash).is_file():
            write_atomic(self.path(basis.hash), basis.to_bytes())

    def get(self, name: BasisHash) -> Basis:
        """Raises BrokenAdapter when it is missing or is not what its name says."""
        if name not in self._known:
            path = self.path(name)
            if not path.is_file():
                raise BrokenAdapter(
                    f"The shared basis {name[:12]} of this adapter is not in {self.root}.", fix=_BRING_BACK
                )
            basis = Basis.from_bytes(path.read_bytes())
            if basis.hash != name:
                raise BrokenAdapter(f"{path} is not the basis that it is named after.", fix=_BRING_BACK)
            self._known[name] = basis
        return self._known[name]


_ENDS = (".down", ".up")
_BRING_BACK = "Bring the workspace's folder `basis` back from a backup; an exported expert needs none."


def _leading(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """V [rank, in] and U times the singular values [out, rank], from the smaller of the two Gram matrices."""
    exact = weight.double()
    out, width_in = exact.shape
    assert 1 <= rank <= min(out, width_in)
    if width_in <= out:
        right = torch.linalg.eigh(exact.T @ exact).eigenvectors[:, -rank:].flip(1)
        return right.T.contiguous(), exact @ right
    left = torch.linalg.eigh(exact @ exact.T).eigenvectors[:, -rank:].flip(1)
    along = left.T @ exact  # singular values times V
    values = along.norm(dim=1, keepdim=True)
    return along / values, left * values.T
