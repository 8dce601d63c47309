"""A safetensors file in memory: read once for its content hash and its tensors, which share that memory.

Reading tensors one by one, each into memory of its own, takes most of the time in which somebody waits for a cold expert.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chiliad.errors import BrokenAdapter

Hashed = Callable[[bytes | memoryview], object]
"""is given what a content hash is over, a piece after the other"""

_DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "F64": torch.float64}
HEADERS_KEPT = 16
PIECE_BYTES = 1 << 20
"""read, and hashed beside what is read next"""


class Header:
    """What a file says about its tensors. Experts of one kind have the same, so it is understood once for many files."""

    def __init__(self, raw: bytes) -> None:
        """Raises ValueError and RecursionError for what is not a JSON object of tensors."""
        told = json.loads(raw)
        if not isinstance(told, dict):
            raise ValueError("its header is not an object")
        metadata = told.get("__metadata__")
        self.metadata: dict[str, str] = metadata if isinstance(metadata, dict) else {}
        self.canonical = json.dumps(told, sort_keys=True).encode()
        """sorted: safetensors writes its metadata in any order"""
        self.tensors: dict[str, dict[str, Any]] = {
            name: entry for name, entry in told.items() if name != "__metadata__"
        }
        """name -> dtype, shape and data_offsets: the bytes of it begin and end there"""
        strange = [name for name, entry in self.tensors.items() if not _is_entry(entry)]
        if strange:
            raise ValueError(f"it does not say what {strange[0]} is")

    @cached_property
    def bf16_numbers(self) -> int | None:
        """How many there are, if all tensors are bfloat16 and lie side by side; None otherwise."""
        end = 0
        for entry in sorted(self.tensors.values(), key=lambda entry: entry["data_offsets"][0]):
            start, stop = entry["data_offsets"]
            if entry["dtype"] != "BF16" or start != end or stop != start + 2 * math.prod(entry["shape"]):
                return None
            end = stop
        return end // 2


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    return _counts(entry.get("shape")) and _counts(entry.get("data_offsets")) and len(entry["data_offsets"]) == 2


def _counts(told: object) -> bool:
    return isinstance(told, list) and all(type(number) is int and number >= 0 for number in told)


_header = lru_cache(HEADERS_KEPT)(Header)


@dataclass(frozen=True)
class WeightsFile:
    path: Path
    header: Header
    data: Tensor
    """[bytes] of all tensors"""

    @classmethod
    def read(cls, path: Path, hashed: Hashed) -> WeightsFile:
        """Raises BrokenAdapter for a file without a header; what the header says is looked at by `tensors`."""
        try:
            with path.open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                length = min(int.from_bytes(file.read(8), "little"), size)
                header = _header(file.read(length))
                hashed(size_before(header.canonical) + header.canonical)
                data = np.empty(max(size - 8 - length, 0), np.uint8)
                hashed(size_before(data))
                for piece in _pieces(data):
                    if file.readinto(piece) != len(piece):
                        raise ValueError("it became shorter meanwhile")
                    hashed(piece)
        except (OSError, ValueError, RecursionError) as error:
            raise _not_whole(path, error) from error
        return cls(path, header, torch.from_numpy(data))

    def numbers(self) -> Tensor | None:
        """All tensors' numbers in one, if they are bfloat16, side by side and finite; None otherwise."""
        size = self.header.bf16_numbers
        if size is None or len(self.data) != 2 * size or not _finite_bf16(self.data):
            return None
        return self.data.view(torch.bfloat16)

    def tensors(self) -> dict[str, Tensor]:
        """By name. Raises BrokenAdapter for one that does not lie in the file, or is not finite."""
        try:
            tensors = {name: self._tensor(entry) for name, entry in self.header.tensors.items()}
        except (KeyError, ValueError, RuntimeError) as error:
            raise _not_whole(self.path, error) from error
        for name, tensor in tensors.items():
            _require_finite(name, tensor, self.path)
        return tensors

    def _tensor(self, told: dict[str, Any]) -> Tensor:
        dtype, shape, (start, end) = _DTYPES[told["dtype"]], told["shape"], told["data_offsets"]
        if not 0 <= start <= end <= len(self.data) or end - start != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"no numbers of the shape {shape} lie between bytes {start} and {end}")
        return self.data[start:end].view(dtype).view(shape)


def size_before(part: Sized) -> bytes:
    """What goes before each part of what is hashed, so that none can end in another place."""
    return f"{len(part)}\0".encode()


def _pieces(data: NDArray[np.uint8]) -> Iterator[memoryview]:
    return (data[start : start + PIECE_BYTES].data for start in range(0, len(data), PIECE_BYTES))


def _finite_bf16(data: Tensor) -> bool:
    """Whether no number has an exponent of ones. As an int16 such a number is the largest, or if negative as a uint16."""
    raw = data.numpy()
    return bool(raw.view(np.int16).max(initial=0) < 0x7F80 and raw.view(np.uint16).max(initial=0) < 0xFF80)


def _require_finite(name: str, tensor: Tensor, path: Path) -> None:
    if not torch.isfinite(tensor).all():
        raise BrokenAdapter(f"{name} in {path.parent} has values that are not finite.", fix="Train the adapter again.")


def _not_whole(path: Path, error: Exception) -> BrokenAdapter:
    return BrokenAdapter(f"{path} is not a whole safetensors file: {error}.", fix="Export the adapter again.")
