"""The operations between the layers of a model: compiled where the processor allows, each beside its plain PyTorch form."""

from chiliad.kernels.attention import can_decode, decode_attention
from chiliad.kernels.dispatch import native_for, path_in_use
from chiliad.kernels.gate import swiglu, swiglu_backward
from chiliad.kernels.linear import PackedLinear, pack
from chiliad.kernels.loss import cross_entropy_
from chiliad.kernels.norm import rms_norm, rms_norm_backward
from chiliad.kernels.rotary import rotate

__all__ = [
    "PackedLinear",
    "can_decode",
    "cross_entropy_",
    "decode_attention",
    "native_for",
    "pack",
    "path_in_use",
    "rms_norm",
    "rms_norm_backward",
    "rotate",
    "swiglu",
    "swiglu_backward",
]
