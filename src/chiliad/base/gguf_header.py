"""The numbers at the beginning of a GGUF file are looked through before anybody reads the file by them.

The library believes them: an array of 2**60 numbers it counts through, an array in an array in an array it follows.
Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

TENSOR_DIMENSIONS_MAX = 4
_STRING, _ARRAY = 8, 9
_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""of a value of each type that has a fixed size"""
_BEFORE_COUNTS = 8
"""the magic and the version"""


def check_header(path: Path) -> None:
    """Raises ValueError unless everything that is told before the tensors' bytes lies in the file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        header = _Header(content)
        tensors, pairs = header.number("<Q"), header.number("<Q")
        for _ in range(pairs):
            header.skip_string()
            header.skip_value()
        for _ in range(tensors):
            header.skip_tensor()


class _Header:
    """Goes over it once. Every step takes some bytes, so that no count takes longer than the file is long."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._at = _BEFORE_COUNTS

    def number(self, form: str) -> int:
        size = struct.calcsize(form)
        self._skip(size)
        (number,) = struct.unpack_from(form, self._content, self._at - size)
        return int(number)

    def skip_string(self) -> None:
        self._skip(self.number("<Q"))

    def skip_value(self) -> None:
        kind = self.number("<I")
        if kind == _STRING:
            self.skip_string()
        elif kind == _ARRAY:
            self._skip_array()
        else:
            self._skip(_bytes_of(kind))

    def skip_tensor(self) -> None:
        self.skip_string()
        dimensions = self.number("<I")
        if dimensions > TENSOR_DIMENSIONS_MAX:
            raise ValueError(f"a tensor of {dimensions} dimensions")
        self._skip(8 * dimensions + 4 + 8)

    def _skip_array(self) -> None:
        kind, count = self.number("<I"), self.number("<Q")
        if kind != _STRING:
            self._skip(count * _bytes_of(kind))
            return
        for _ in range(count):
            self.skip_string()

    def _skip(self, size: int) -> None:
        self._at += size
        if self._at > len(self._content):
            raise ValueError("it says that it is longer than it is")


def _bytes_of(kind: int) -> int:
    if kind not in _BYTES:
        raise ValueError(f"a value of the type {kind}")
    return _BYTES[kind]
