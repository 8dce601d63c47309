"""Which path the kernels take: compiled code for this kind of processor, or PyTorch and why."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

KINDS = {
    "avx512": "AVX-512 BF16 and VNNI",
    "avx2": "AVX2",
}
"""the compiled modules, best first; what each offers is in _native.pyi"""


@dataclass(frozen=True)
class Absent:
    """Why there is no compiled code to use."""

    reason: str


@dataclass(frozen=True)
class Compiled:
    module: ModuleType
    kind: str
    """a key of KINDS"""


def native_for(*tensors: Tensor, dtype: torch.dtype = torch.bfloat16) -> ModuleType | None:
    """The compiled kernels, if they are in use and take tensors like these: of this type, dense, in main memory."""
    if isinstance(_path, Absent):
        return None
    fits = all(t.dtype is dtype and t.device.type == "cpu" and t.is_contiguous() for t in tensors)
    return _path.module if fits else None


def path_in_use() -> str:
    """For people: what computes."""
    if isinstance(_path, Absent):
        return f"PyTorch ({_path.reason})"
    return f"native kernels, {KINDS[_path.kind]}"


def _choose() -> Compiled | Absent:
    """CHILIAD_NATIVE: 0 for PyTorch, a kind to have that one; otherwise the best that this processor can run."""
    wanted = os.environ.get("CHILIAD_NATIVE", "")
    if wanted == "0":
        return Absent("CHILIAD_NATIVE=0")
    built = _built([wanted] if wanted in KINDS else list(KINDS))
    if not built:
        return Absent("native kernels were not built: install again with a C++ compiler")
    for compiled in built:
        if compiled.module.supported():
            return compiled
    return Absent(f"this processor has no {KINDS[built[-1].kind]}")


def _built(kinds: list[str]) -> list[Compiled]:
    found = []
    for kind in kinds:
        try:
            found.append(Compiled(import_module(f"chiliad.kernels._native_{kind}"), kind))
        except ImportError:
            continue
    return found


_path = _choose()
