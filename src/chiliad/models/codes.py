"""A base whose linear layers are kept in codes of 8 or 4 bits while experts are trained on it.

Dettmers et al. 2023 (QLoRA, arXiv 2305.14314), with the codes of GGUF: a matrix is made of them anew each time that a pass
reads it, and nobody keeps it. Embedding, head and norms stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor

from chiliad.config import Precision
from chiliad.kernels import BLOCK_INPUTS, BlockWeight, CompactWeight, Format
from chiliad.models.transformer import Group, KeepLayer, Layer, Transformer, TransformerConfig, weight_names

LAYER_FORMATS = {Precision.BF16: Format.BF16, Precision.INT8: Format.Q8_0, Precision.INT4: Format.Q4_1}
"""of the matrices of layers"""


class Quantised(Protocol):
    """A matrix as a file has it, in numpy's arrays: as `BlockWeight`."""

    @property
    def codes(self) -> Any: ...
    @property
    def scale(self) -> Any: ...
    @property
    def offset(self) -> Any: ...


ReadCodes = Callable[[str], Quantised | None]
"""a matrix by its name in a checkpoint; None for one that did not come in codes"""


def no_codes(_: str) -> None:
    """Of a base that did not come in codes."""


def takes_codes(config: TransformerConfig) -> bool:
    """Whether every matrix of a layer has a multiple of BLOCK_INPUTS inputs."""
    return not any(config.group_widths(group)[0] % BLOCK_INPUTS for group in Group)


def coded(weight: Tensor, wanted: Format, names: Sequence[str], quantised: ReadCodes) -> BlockWeight:
    """The codes that the weight came in, where they are of the wanted format; else it is rounded to that.

    weight: [out, in] of the checkpoint's matrices `names`, one after another.
    """
    parts = [_codes(part) for part in map(quantised, names) if part is not None]
    if len(parts) == len(names) and all(part.format is wanted for part in parts):
        codes = BlockWeight.cat(parts)
        if torch.equal(codes.numbers().to(weight.dtype), weight):
            return codes
    return BlockWeight.rounded(weight, wanted)


class CodedMatrices(Mapping[Group, Tensor]):
    """The matrices of a layer, made of their codes whenever one is asked for."""

    def __init__(self, kept: Mapping[Group, CompactWeight], dtype: torch.dtype) -> None:
        self.kept, self._dtype = kept, dtype

    def __getitem__(self, group: Group) -> Tensor:
        return self.kept[group].numbers(self._dtype)

    def __iter__(self) -> Iterator[Group]:
        return iter(self.kept)

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def nbytes(self) -> int:
        return sum(weight.nbytes for weight in self.kept.values())


def in_codes(precision: Precision, quantised: ReadCodes = no_codes) -> KeepLayer:
    """What makes codes of each layer as it is read, for a model that `takes_codes`."""

    def keep(index: int, layer: Layer) -> Layer:
        kept = {
            group: CompactWeight.of(coded(weight, LAYER_FORMATS[precision], weight_names(index, group), quantised))
            for group, weight in layer.weights.items()
        }
        return replace(layer, weights=CodedMatrices(kept, layer.attention_norm.dtype))

    return keep


def is_in_codes(model: Transformer) -> bool:
    return any(isinstance(layer.weights, CodedMatrices) for layer in model.layers)


def matrix_bytes(model: Transformer) -> int:
    """What the layers' matrices take."""
    return sum(
        weights.nbytes if isinstance(weights, CodedMatrices) else sum(matrix.nbytes for matrix in weights.values())
        for weights in (layer.weights for layer in model.layers)
    )


def _codes(tensor: Quantised) -> BlockWeight:
    offset = None if tensor.offset is None else torch.from_numpy(tensor.offset)
    return BlockWeight(torch.from_numpy(tensor.codes), torch.from_numpy(tensor.scale), offset)
