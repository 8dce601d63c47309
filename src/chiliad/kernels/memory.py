"""Memory in large pages: with small ones, reading hundreds of megabytes in order takes almost twice as long."""

from __future__ import annotations

import mmap

import torch
from torch import Tensor

LARGE_PAGE = 2 << 20


def empty_in_large_pages(numbers: int) -> Tensor:
    """[numbers] bfloat16, arbitrary. Memory is taken when it is first written. Raises OSError when there is none."""
    bytes_ = max(1, -(-2 * numbers // LARGE_PAGE)) * LARGE_PAGE
    memory = mmap.mmap(-1, bytes_, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.bfloat16)[:numbers]
