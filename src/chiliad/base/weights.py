"""Tensors as bytes on disk: the safetensors format read and written with numpy alone, bf16 included.

A bf16 number is the upper half of a float32, so a bf16 tensor is held as its bits in `uint16`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from chiliad.errors import BrokenBase

Bits = npt.NDArray[np.uint16]

HEADER_BYTES_MAX = 100 * 2**20
_NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "BF16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
_PULL_AGAIN = "The file is cut short or damaged: fetch it again."


@dataclass(frozen=True)
class TensorView:
    """A tensor inside a safetensors file: where its bytes lie and how to read them."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    def raw(self) -> npt.NDArray[np.uint8]:
        """The tensor's bytes as they lie in the file, mapped, not copied."""
        if self.start == self.end:
            return np.empty(0, dtype=np.uint8)
        return np.memmap(self.path, dtype=np.uint8, mode="r", offset=self.start, shape=(self.end - self.start,))

    def bf16(self) -> Bits:
        """The tensor as bf16 bits, rounded to nearest even where the file holds wider numbers."""
        values = self.raw().view(_NUMPY_DTYPES[self.dtype]).reshape(self.shape)
        return values if self.dtype == "BF16" else bf16_bits(values.astype(np.float32))


def bf16_bits(values: npt.NDArray[np.float32]) -> Bits:
    """float32 -> the bits of bf16, rounded to nearest, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))) >> 16
    return np.where(np.isnan(values), np.uint32(0x7FC0), rounded).astype(np.uint16)


def write_weights(path: Path, shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], Bits]) -> None:
    """Write bf16 tensors as one safetensors file, sorted by name; only one of them is in memory at a time."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in sorted(shapes.items()):
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for name, shape in sorted(shapes.items()):
            bits = read(name)
            assert bits.shape == shape
            stream.write(np.ascontiguousarray(bits, dtype="<u2").tobytes())


def read_weights(path: Path) -> dict[str, TensorView]:
    """The tensors of a safetensors file. Raises `BrokenBase` unless every one lies wholly inside the file."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
        if header_bytes > min(HEADER_BYTES_MAX, size - 8):
            raise BrokenBase(f"{path.name} is not a complete safetensors file.", fix=_PULL_AGAIN)
        header_text = stream.read(header_bytes)
    try:
        header = json.loads(header_text)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        return {name: _view(path, name, entry, 8 + header_bytes, size) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenBase(f"The header of {path.name} cannot be read ({error}).", fix=_PULL_AGAIN) from None


def _view(path: Path, name: str, entry: dict[str, Any], data_start: int, size: int) -> TensorView:
    dtype, shape = str(entry["dtype"]), tuple(map(index, entry["shape"]))
    start, end = (data_start + index(offset) for offset in entry["data_offsets"])
    if dtype not in _NUMPY_DTYPES:
        raise BrokenBase(
            f"Tensor {name} in {path.name} has type {dtype}.",
            fix=f"Use a checkpoint in one of {', '.join(_NUMPY_DTYPES)}.",
        )
    bytes_wanted = math.prod(shape) * _NUMPY_DTYPES[dtype].itemsize
    if not (data_start <= start <= end <= size) or end - start != bytes_wanted or min(shape, default=0) < 0:
        raise BrokenBase(f"Tensor {name} does not fit into {path.name}.", fix=_PULL_AGAIN)
    return TensorView(path, dtype, shape, start, end)
