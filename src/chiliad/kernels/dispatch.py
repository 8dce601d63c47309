"""Which path the kernels take: compiled code, or PyTorch and why."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor


@dataclass(frozen=True)
class Absent:
    """Why there is no compiled code to use."""

    reason: str


def native_for(*tensors: Tensor, dtype: torch.dtype = torch.bfloat16) -> ModuleType | None:
    """The compiled kernels, if they are in use and take tensors like these: of this type, dense, in main memory."""
    if isinstance(_native, Absent):
        return None
    fits = all(t.dtype is dtype and t.device.type == "cpu" and t.is_contiguous() for t in tensors)
    return _native if fits else None


def path_in_use() -> str:
    """For people: what computes."""
    if isinstance(_native, Absent):
        return f"PyTorch ({_native.reason})"
    return "native kernels, AVX-512 BF16 and VNNI"


def _load() -> ModuleType | Absent:
    if os.environ.get("CHILIAD_NATIVE") == "0":
        return Absent("CHILIAD_NATIVE=0")
    try:
        from chiliad.kernels import _native
    except ImportError:
        return Absent("native kernels were not built: install again with a C++ compiler")
    if not _native.supported():
        return Absent("this processor has no AVX-512 BF16 and VNNI")
    return _native


_native = _load()
