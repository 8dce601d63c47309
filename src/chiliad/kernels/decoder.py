"""A whole step of a decoder in one compiled call. Its plain form is `chiliad.models.Llama`, Mistral, Qwen2 and Qwen3."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from chiliad.kernels.dispatch import native_for
from chiliad.kernels.memory import empty_in_large_pages
from chiliad.kernels.packing import Matrix, format_of, pack_to, packed_bytes

BLOCK_TOKENS = 32
"""tokens whose keys and values lie together"""


CORE_RANK_MAX = 256


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
    """Norms [hidden]; matrices, those that share their input one after another along `out`.

    qkv_bias: [out of qkv]; q_norm, k_norm: [head_dim], of every head before it turns; None: nothing.
    """

    attention_norm: Tensor
    mlp_norm: Tensor
    qkv: Matrix
    o: Matrix
    gate_up: Matrix
    down: Matrix
    qkv_bias: Tensor | None = None
    q_norm: Tensor | None = None
    k_norm: Tensor | None = None


class EndWeights(NamedTuple):
    """embedding, head: [vocab, hidden]; cos, sin: [positions, head_dim]; final_norm: [hidden]."""

    embedding: Tensor
    cos: Tensor
    sin: Tensor
    final_norm: Tensor
    head: Matrix


class SiteFactors(NamedTuple):
    """One linear layer's part of an adapter: y += b (a x). a: [rank, in], b: [outputs, rank]; None: it has no part."""

    outputs: int
    factors: tuple[Tensor, Tensor] | None


class SitePlace(NamedTuple):
    """`SiteFactors` that lie in one tensor: a and b say how many bytes from its begin. rank 0: it has no part."""

    outputs: int
    rank: int
    a: int
    b: int


class PackedLora:
    """A copy of an adapter's factors in the order in which a step reads them. Odd ranks are padded to even ones.

    groups, wherever they are asked for: (inputs, sites) of qkv, o, gate_up and down, layer after layer.
    """

    def __init__(self, groups: Sequence[tuple[int, Sequence[SitePlace]]], address: int, scale: float) -> None:
        """address: where the places are counted from; scale: what B is multiplied by, and rounded then."""
        native = native_for()
        assert native is not None
        self.native = native.Lora(groups, address, scale)

    @classmethod
    def of(cls, groups: Iterable[tuple[int, Sequence[SiteFactors]]]) -> PackedLora:
        kept = [(inputs, [_checked(inputs, site) for site in sites]) for inputs, sites in groups]
        places = [
            (inputs, [SitePlace(outputs, len(a), a.data_ptr(), b.data_ptr()) for outputs, a, b in sites])
            for inputs, sites in kept
        ]
        return cls(places, 0, 1.0)

    @classmethod
    def stored(cls, groups: Sequence[tuple[int, Sequence[SitePlace]]], numbers: Tensor, scale: float) -> PackedLora:
        """numbers: bfloat16, side by side, which the places count from"""
        assert numbers.dtype is torch.bfloat16
        assert numbers.is_contiguous()
        return cls(groups, numbers.data_ptr(), scale)

    def keep_spare(self) -> None:
        """Have memory ready for the next one of this size, which then need not wait for the system to give it."""
        self.native.keep_spare()

    @property
    def nbytes(self) -> int:
        return int(self.native.nbytes)


class PackedCore:
    """Cores between the two halves of a packed basis, which every row that has it shares."""

    def __init__(self, basis: PackedLora, cores: Tensor) -> None:
        """cores: R [layers, sites, rank, rank], the sites in the order of the basis' groups."""
        rank = cores.shape[-1]
        assert rank <= CORE_RANK_MAX
        odd = rank % 2
        self.basis = basis
        self._squares = F.pad(cores.to(torch.bfloat16), (0, odd, 0, odd)).transpose(2, 3).contiguous()

    @property
    def nbytes(self) -> int:
        """The cores' own."""
        return self._squares.nbytes

    @property
    def address(self) -> int:
        return self._squares.data_ptr()


class PackedScales:
    """What a layer's keys, values and gated numbers are multiplied by."""

    def __init__(self, scales: Tensor) -> None:
        """scales: [layers, keys, values and gated numbers]"""
        self._scales = scales.to(torch.bfloat16).contiguous()

    @property
    def nbytes(self) -> int:
        return self._scales.nbytes

    @property
    def address(self) -> int:
        return self._scales.data_ptr()


PackedAdapter = PackedLora | PackedCore | PackedScales


class DecoderWork(NamedTuple):
    """The next tokens of one sequence."""

    tokens: Sequence[int]
    start: int
    """position of the first of them"""
    blocks: Sequence[int]
    """addresses of the sequence's blocks, with room for these tokens"""
    adapter: PackedAdapter | None
    wanted: int
    """for how many of the tokens, counted from the end, logits are computed"""


class Decoder:
    """Packs a model's weights once and runs steps over them. Keeps its scratch memory: one step at a time.

    Rows that meet a matrix in codes are rounded to 8 bits for every 32 inputs; adapters see them as they are.
    """

    def __init__(self, shape: DecoderShape, layers: Sequence[LayerWeights], ends: EndWeights) -> None:
        """`fits(shape, layers, ends)`."""
        assert self.fits(shape, layers, ends)
        native = native_for()
        assert native is not None
        matrices = [ends.head, *(matrix for layer in layers for matrix in _matrices(layer))]
        self._packed = empty_in_large_pages(sum(map(packed_bytes, matrices)) // 2).view(torch.uint8)
        self._kept: list[Tensor] = []
        self._used = 0
        plain = [self._keep(tensor) for tensor in (ends.embedding, ends.cos, ends.sin, ends.final_norm)]
        self._native = native.Decoder(*astuple(shape), *plain, self._pack(ends.head))
        for layer in layers:
            norms = (self._keep(layer.attention_norm), self._keep(layer.mlp_norm))
            extras = (self._keep(tensor) for tensor in (layer.qkv_bias, layer.q_norm, layer.k_norm))
            self._native.add_layer(*norms, *map(self._pack, _matrices(layer)), *extras)
        self.packed_bytes = self._packed.nbytes
        """what the matrices take"""
        self.block_numbers = len(layers) * 2 * shape.kv_heads * shape.head_dim * BLOCK_TOKENS
        """bfloat16 numbers of a block: the keys and values of its tokens in all layers"""

    @staticmethod
    def fits(shape: DecoderShape, layers: Sequence[LayerWeights], ends: EndWeights) -> bool:
        """Whether the compiled code takes these weights: bfloat16 in main memory, even sizes."""
        even = all(size % 2 == 0 for size in (shape.hidden, shape.intermediate, shape.head_dim))
        weights = [weight for layer in layers for weight in layer]
        tensors = [weight for weight in (*ends, *weights) if isinstance(weight, Tensor)]
        return native_for(*tensors) is not None and even and shape.heads % shape.kv_heads == 0

    def run(self, work: Sequence[DecoderWork], logits: Tensor) -> None:
        """Put the tokens' keys and values into their blocks, and the logits of the wanted tokens into `logits`.

        logits: [wanted tokens, vocab] float32, in the order of the work and of the tokens within it. A token's bits do
        not depend on the other work, on how its sequence was cut, or on the threads.
        """
        assert logits.is_contiguous()
        assert logits.dtype is torch.float32
        assert len(logits) == sum(one.wanted for one in work)
        raw = [(w.tokens, w.start, w.blocks, *_addresses(w.adapter), w.wanted) for w in work]
        self._native.run(raw, logits.data_ptr())

    def _keep(self, tensor: Tensor | None) -> int:
        if tensor is None:
            return 0
        self._kept.append(tensor)
        return tensor.data_ptr()

    def _pack(self, matrix: Matrix) -> tuple[int, int]:
        """(address, format)"""
        here = self._packed[self._used :][: packed_bytes(matrix)]
        self._used += len(here)
        pack_to(matrix, here)
        return here.data_ptr(), int(format_of(matrix))


def _addresses(adapter: PackedAdapter | None) -> tuple[Any, int, int]:
    """(factors, core, scales)"""
    if isinstance(adapter, PackedCore):
        return adapter.basis.native, adapter.address, 0
    if isinstance(adapter, PackedScales):
        return None, 0, adapter.address
    return adapter.native if adapter else None, 0, 0


def _matrices(layer: LayerWeights) -> tuple[Matrix, ...]:
    return layer.qkv, layer.o, layer.gate_up, layer.down


def _checked(inputs: int, site: SiteFactors) -> tuple[int, Tensor, Tensor]:
    """(outputs, a, b) as the compiled code reads them; rank 0 where there are no factors."""
    if site.factors is None:
        return site.outputs, _NOTHING, _NOTHING
    a, b = (factor.to(torch.bfloat16).contiguous() for factor in site.factors)
    assert a.shape == (len(a), inputs)
    assert b.shape == (site.outputs, len(a))
    return site.outputs, a, b


_NOTHING = torch.empty(0)
