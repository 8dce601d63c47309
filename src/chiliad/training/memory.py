"""Giving freed memory back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable


def _find_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None


_TRIM = _find_trim()


def release_freed_memory() -> None:
    """Hand free pages back where the C library is glibc; elsewhere do nothing.

    Activations come in as many sizes as batches have shapes. glibc keeps their holes: a run of an hour grew from 1.3 GiB
    to 4 GiB of which a third was in use.
    """
    if _TRIM is not None:
        _TRIM(0)
