"""The operations between the layers of a model: compiled where the processor allows, each beside its plain PyTorch form."""

from chiliad.kernels.argmax import argmax
from chiliad.kernels.blocks import BLOCK_INPUTS, BlockWeight, Format
from chiliad.kernels.compact import CompactWeight
from chiliad.kernels.decoder import (
    BLOCK_TOKENS,
    Decoder,
    DecoderShape,
    DecoderWork,
    EndWeights,
    LayerWeights,
    PackedAdapter,
    PackedCore,
    PackedLora,
    PackedScales,
    SiteFactors,
    SitePlace,
)
from chiliad.kernels.dispatch import native_for, path_in_use
from chiliad.kernels.gate import swiglu, swiglu_backward
from chiliad.kernels.linear import PackedLinear
from chiliad.kernels.loss import cross_entropy_
from chiliad.kernels.memory import empty_in_large_pages
from chiliad.kernels.norm import rms_norm, rms_norm_backward
from chiliad.kernels.packing import Matrix, pack
from chiliad.kernels.rotary import rotate

__all__ = [
    "BLOCK_INPUTS",
    "BLOCK_TOKENS",
    "BlockWeight",
    "CompactWeight",
    "Decoder",
    "DecoderShape",
    "DecoderWork",
    "EndWeights",
    "Format",
    "LayerWeights",
    "Matrix",
    "PackedAdapter",
    "PackedCore",
    "PackedLinear",
    "PackedLora",
    "PackedScales",
    "SiteFactors",
    "SitePlace",
    "argmax",
    "cross_entropy_",
    "empty_in_large_pages",
    "native_for",
    "pack",
    "path_in_use",
    "rms_norm",
    "rms_norm_backward",
    "rotate",
    "swiglu",
    "swiglu_backward",
]
