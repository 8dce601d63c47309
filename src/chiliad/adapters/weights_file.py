"""A safetensors file in memory: read once for its content hash and its tensors, which share that memory.

Reading tensors one by one, each into memory of its own, takes most of the time in which somebody waits for a cold expert.
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from chiliad.errors import BrokenAdapter

_DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "F64": torch.float64}


@dataclass(frozen=True)
class WeightsFile:
    path: Path
    header: dict[str, Any]
    data: Tensor
    """[bytes] of all tensors"""

    @classmethod
    def read(cls, path: Path) -> WeightsFile:
        """Raises BrokenAdapter for a file without a header; what the header says is looked at by `tensors`."""
        try:
            raw = _bytes_of(path)
            length = int.from_bytes(raw[:8].tobytes(), "little")
            header = json.loads(raw[8 : 8 + length].tobytes())
            if not isinstance(header, dict):
                raise ValueError("its header is not an object")
        except (OSError, ValueError, RecursionError) as error:
            raise _not_whole(path, error) from error
        return cls(path, header, torch.from_numpy(raw[8 + length :]))

    @property
    def metadata(self) -> dict[str, str]:
        told = self.header.get("__metadata__")
        return told if isinstance(told, dict) else {}

    @property
    def canonical_header(self) -> bytes:
        """The header sorted: safetensors writes its metadata in any order."""
        return json.dumps(self.header, sort_keys=True).encode()

    @property
    def bytes(self) -> memoryview:
        """All tensors', as they lie in the file."""
        return self.data.numpy().data

    def tensors(self) -> dict[str, Tensor]:
        """By name. Raises BrokenAdapter for one that does not lie in the file, or is not finite."""
        told = {name: entry for name, entry in self.header.items() if name != "__metadata__"}
        try:
            if self._all_bf16(told):
                return self._side_by_side(told)
            tensors = {name: self._tensor(entry) for name, entry in told.items()}
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise _not_whole(self.path, error) from error
        for name, tensor in tensors.items():
            _require_finite(name, tensor, self.path)
        return tensors

    def _all_bf16(self, told: Mapping[str, dict[str, Any]]) -> bool:
        """Whether all bytes are finite bfloat16 numbers, none with an exponent of ones, of tensors without gaps."""
        places = sorted(tuple(entry["data_offsets"]) for entry in told.values())
        gapless = [start for start, _ in places] == [0, *(end for _, end in places[:-1])]
        if not places or not gapless or places[-1][1] != len(self.data) or len(self.data) % 2:
            return False
        if any(entry["dtype"] != "BF16" for entry in told.values()):
            return False
        return bool((self.data.numpy().view(np.uint16) & 0x7FFF).max(initial=0) < 0x7F80)

    def _side_by_side(self, told: Mapping[str, dict[str, Any]]) -> dict[str, Tensor]:
        """What `_tensor` gives for each, cut in one go."""
        names = sorted(told, key=lambda name: told[name]["data_offsets"][0])
        parts = self.data.view(torch.bfloat16).split([math.prod(told[name]["shape"]) for name in names])
        return {name: part.view(told[name]["shape"]) for name, part in zip(names, parts, strict=True)}

    def _tensor(self, told: dict[str, Any]) -> Tensor:
        dtype, shape, (start, end) = _DTYPES[told["dtype"]], told["shape"], told["data_offsets"]
        if not 0 <= start <= end <= len(self.data) or end - start != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"no numbers of the shape {shape} lie between bytes {start} and {end}")
        return self.data[start:end].view(dtype).view(shape)


def _bytes_of(path: Path) -> npt.NDArray[np.uint8]:
    """A file in memory of its own mapping, which goes back to the system when nobody has it any more."""
    with path.open("rb") as file:
        memory = mmap.mmap(-1, max(1, os.fstat(file.fileno()).st_size))
        read = file.readinto(memory)
    return np.frombuffer(memory, np.uint8)[:read]


def _require_finite(name: str, tensor: Tensor, path: Path) -> None:
    if not torch.isfinite(tensor).all():
        raise BrokenAdapter(f"{name} in {path.parent} has values that are not finite.", fix="Train the adapter again.")


def _not_whole(path: Path, error: Exception) -> BrokenAdapter:
    return BrokenAdapter(f"{path} is not a whole safetensors file: {error}.", fix="Export the adapter again.")
