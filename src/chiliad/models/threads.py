"""How many cores the calling thread's matrix products use."""

from __future__ import annotations

import os

import torch


def use_threads(count: int | None) -> None:
    """Set the number for this thread, at most one for each core; None leaves PyTorch's own choice, the number of cores."""
    if count is not None:
        torch.set_num_threads(min(count, os.cpu_count() or 1))


def available() -> int:
    """The number in force for this thread."""
    return torch.get_num_threads()
