"""A whole step of a decoder in one compiled call. Its plain form is `chiliad.models.Llama`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from chiliad.kernels.dispatch import native_for
from chiliad.kernels.linear import pack, packed_numbers
from chiliad.kernels.memory import empty_in_large_pages

BLOCK_TOKENS = 32
"""tokens whose keys and values lie together"""


@dataclass(frozen=True)
class DecoderShape:
    hidden: int
    intermediate: int
    vocab: int
    heads: int
    kv_heads: int
    head_dim: int
    eps: float


class LayerWeights(NamedTuple):
    """Norms [hidden]; matrices [out, in], those that share their input one after another along `out`."""

    attention_norm: Tensor
    qkv: Tensor
    o: Tensor
    mlp_norm: Tensor
    gate_up: Tensor
    down: Tensor


class EndWeights(NamedTuple):
    """embedding, head: [vocab, hidden]; cos, sin: [positions, head_dim]; final_norm: [hidden]."""

    embedding: Tensor
    cos: Tensor
    sin: Tensor
    final_norm: Tensor
    head: Tensor


class SiteFactors(NamedTuple):
    """One linear layer's part of an adapter: y += b (a x). a: [rank, in], b: [outputs, rank]; None: it has no part."""

    outputs: int
    factors: tuple[Tensor, Tensor] | None


class PackedLora:
    """A copy of an adapter's factors in the order in which a step reads them. Odd ranks are padded to even ones."""

    def __init__(self, groups: Iterable[tuple[int, Sequence[SiteFactors]]]) -> None:
        """groups: (inputs, sites) of qkv, o, gate_up and down, layer after layer."""
        native = native_for()
        assert native is not None
        kept = [(inputs, [_checked(inputs, site) for site in sites]) for inputs, sites in groups]
        addresses = [
            (inputs, [(outputs, len(a), a.data_ptr(), b.data_ptr()) for outputs, a, b in sites])
            for inputs, sites in kept
        ]
        self.native = native.Lora(addresses)

    @property
    def nbytes(self) -> int:
        return int(self.native.nbytes)


class DecoderWork(NamedTuple):
    """The next tokens of one sequence."""

    tokens: Sequence[int]
    start: int
    """position of the first of them"""
    blocks: Sequence[int]
    """addresses of the sequence's blocks, with room for these tokens"""
    lora: PackedLora | None
    wanted: int
    """for how many of the tokens, counted from the end, logits are computed"""


class Decoder:
    """Packs a model's weights once and runs steps over them. Keeps its scratch memory: one step at a time."""

    def __init__(self, shape: DecoderShape, layers: Sequence[LayerWeights], ends: EndWeights) -> None:
        """`fits(shape, layers, ends)`."""
        assert self.fits(shape, layers, ends)
        native = native_for()
        assert native is not None
        matrices = [ends.head, *(weight for layer in layers for weight in layer if weight.ndim == 2)]
        self._packed = empty_in_large_pages(sum(packed_numbers(matrix) for matrix in matrices))
        self._kept: list[Tensor] = []
        self._used = 0
        plain = [self._keep(tensor) for tensor in ends[:-1]]
        self._native = native.Decoder(*astuple(shape), *plain, self._pack(ends.head))
        for layer in layers:
            self._native.add_layer(*(self._keep(w) if w.ndim == 1 else self._pack(w) for w in layer))
        self.block_numbers = len(layers) * 2 * shape.kv_heads * shape.head_dim * BLOCK_TOKENS
        """bfloat16 numbers of a block: the keys and values of its tokens in all layers"""

    @staticmethod
    def fits(shape: DecoderShape, layers: Sequence[LayerWeights], ends: EndWeights) -> bool:
        """Whether the compiled code takes these weights: bfloat16 in main memory, even sizes."""
        even = all(size % 2 == 0 for size in (shape.hidden, shape.intermediate, shape.head_dim))
        weights = [*ends, *(weight for layer in layers for weight in layer)]
        return native_for(*weights) is not None and even and shape.heads % shape.kv_heads == 0

    def run(self, work: Sequence[DecoderWork], logits: Tensor) -> None:
        """Put the tokens' keys and values into their blocks, and the logits of the wanted tokens into `logits`.

        logits: [wanted tokens, vocab] float32, in the order of the work and of the tokens within it. A token's bits do
        not depend on the other work, on how its sequence was cut, or on the threads.
        """
        assert logits.is_contiguous()
        assert logits.dtype is torch.float32
        assert len(logits) == sum(one.wanted for one in work)
        raw = [(w.tokens, w.start, w.blocks, w.lora.native if w.lora else None, w.wanted) for w in work]
        self._native.run(raw, logits.data_ptr())

    def _keep(self, tensor: Tensor) -> int:
        self._kept.append(tensor)
        return tensor.data_ptr()

    def _pack(self, weight: Tensor) -> int:
        packed = self._packed[self._used :][: packed_numbers(weight)]
        packed.copy_(pack(weight).flatten())
        self._used += len(packed)
        return packed.data_ptr()


def _checked(inputs: int, site: SiteFactors) -> tuple[int, Tensor, Tensor]:
    """(outputs, a, b) as the compiled code reads them; rank 0 where there are no factors."""
    if site.factors is None:
        return site.outputs, _NOTHING, _NOTHING
    a, b = (factor.to(torch.bfloat16).contiguous() for factor in site.factors)
    assert a.shape == (len(a), inputs)
    assert b.shape == (site.outputs, len(a))
    return site.outputs, a, b


_NOTHING = torch.empty(0)
