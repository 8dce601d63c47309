"""Reading a GGUF file: its metadata, and its tensors dequantised to float32."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGUFReader, ReaderTensor
from gguf.quants import dequantize

from chiliad.base.gguf_header import check_header
from chiliad.errors import BrokenBase

_MAGIC = b"GGUF"


@dataclass(frozen=True)
class GgufFile:
    """An open GGUF file. Tensors are mapped from disk and dequantised one at a time."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, ReaderTensor]

    @classmethod
    def open(cls, path: Path) -> GgufFile:
        """Raises `BrokenBase` when the file is not GGUF or ends before its last tensor."""
        with path.open("rb") as stream:
            if stream.read(4) != _MAGIC:
                raise BrokenBase(f"{path.name} is not a GGUF file.", fix="Give a .gguf file that llama.cpp can load.")
        try:
            check_header(path)
            reader = GGUFReader(path)
            metadata = {name: field.contents() for name, field in reader.fields.items()}
        except (ValueError, IndexError, KeyError, OverflowError, TypeError, struct.error) as error:
            raise BrokenBase(
                f"{path.name} is cut short or damaged ({error}).", fix="Download the file again and compare its size."
            ) from None
        return cls(path, metadata, {tensor.name: tensor for tensor in reader.tensors})

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture"))

    def require(self, key: str) -> Any:
        """The metadata value under `key`; raises `BrokenBase` when the file lacks it."""
        if key not in self.metadata:
            raise BrokenBase(f"{self.path.name} has no metadata field {key}.", fix="Convert the model to GGUF again.")
        return self.metadata[key]

    def setting(self, key: str, default: Any = None) -> Any:
        """The metadata value under `<architecture>.<key>`, or `default`."""
        return self.metadata.get(f"{self.architecture}.{key}", default)

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape in numpy order: GGUF lists the fastest dimension first."""
        return tuple(int(size) for size in reversed(self.tensors[name].shape))

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        """One tensor, dequantised. Raises `BrokenBase` for a quantisation that cannot be undone here."""
        tensor = self.tensors[name]
        try:
            values = dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError:
            raise BrokenBase(
                f"Tensor {name} is stored as {tensor.tensor_type.name}, which cannot be dequantised here.",
                fix="Use a file in Q4_0, Q4_1, Q5_0, Q8_0, a K-quant, F16, BF16 or F32.",
            ) from None
        return np.asarray(values, dtype=np.float32).reshape(self.shape(name))

    def token(self, key: str) -> str | None:
        """The text of the token whose id the metadata gives under `tokenizer.ggml.<key>`."""
        token_id = self.metadata.get(f"tokenizer.ggml.{key}")
        tokens: Sequence[str] = self.require("tokenizer.ggml.tokens")
        return tokens[token_id] if token_id is not None and token_id < len(tokens) else None
