"""The matrices of a GGUF file in the codes that it holds, for code that computes with them as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType as Kind

from chiliad.base.gguf_file import GgufFile
from chiliad.base.gguf_names import GgufNames

BLOCK = 32


@dataclass(frozen=True)
class QuantisedTensor:
    """weight = scale * code + offset in float32, for every 32 inputs; rounded to bfloat16 it is the base's tensor."""

    codes: npt.NDArray[Any]
    """[out, in]: uint8 from 0 to 15 with an offset, int8 without"""
    scale: npt.NDArray[np.float16]
    """[out, in / 32]"""
    offset: npt.NDArray[np.float16] | None
    """as `scale`"""


ReadQuantised = Callable[[str], QuantisedTensor | None]
"""a matrix by its `transformers` name; None for one that is held in no such format"""


def quantised_reader(path: Path) -> ReadQuantised:
    """The matrices of a GGUF file, which is opened for the first of them; that raises `BrokenBase` for a damaged one."""

    @cache
    def opened() -> tuple[GgufFile, GgufNames]:
        gguf = GgufFile.open(path)
        return gguf, GgufNames.of(gguf)

    def read(name: str) -> QuantisedTensor | None:
        gguf, names = opened()
        source = names.theirs.get(name)
        if source is None or gguf.tensors[source].tensor_type not in _READERS:
            return None
        rows, inputs = gguf.shape(source)
        blocks = np.asarray(gguf.tensors[source].data).reshape(rows, inputs // BLOCK, -1)
        return _READERS[gguf.tensors[source].tensor_type](names.in_our_order(name, blocks))

    return read


def _q4_0(blocks: npt.NDArray[np.uint8]) -> QuantisedTensor:
    """scale * (code - 8)"""
    scale = _halves(blocks[..., :2])
    return QuantisedTensor(_nibbles(blocks[..., 2:]), scale, scale * np.float16(-8))


def _q4_1(blocks: npt.NDArray[np.uint8]) -> QuantisedTensor:
    return QuantisedTensor(_nibbles(blocks[..., 4:]), _halves(blocks[..., :2]), _halves(blocks[..., 2:4]))


def _q8_0(blocks: npt.NDArray[np.uint8]) -> QuantisedTensor:
    codes = np.ascontiguousarray(blocks[..., 2:]).view(np.int8)
    return QuantisedTensor(codes.reshape(len(blocks), -1), _halves(blocks[..., :2]), None)


def _halves(two_bytes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float16]:
    return np.ascontiguousarray(two_bytes).view(np.float16)[..., 0]


def _nibbles(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """[rows, blocks, 16] -> [rows, inputs]: the low halves of a block's bytes are its first 16 codes."""
    return np.concatenate((packed & 15, packed >> 4), axis=-1).reshape(len(packed), -1)


_READERS = {Kind.Q4_0: _q4_0, Kind.Q4_1: _q4_1, Kind.Q8_0: _q8_0}
