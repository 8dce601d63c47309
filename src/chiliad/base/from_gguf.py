"""GGUF -> checkpoint: llama.cpp's names, metadata and numbers turned back into those of `transformers`."""

from __future__ import annotations

from pathlib import Path

from chiliad.base.checkpoint import Checkpoint
from chiliad.base.gguf_file import GgufFile
from chiliad.base.gguf_names import GgufNames
from chiliad.base.gguf_tokenizer import tokenizer_json
from chiliad.base.template import fallback
from chiliad.base.weights import bf16_bits

SOURCE_GGUF = "source.gguf"
"""the file that a base was converted from, kept in its folder"""


def read_gguf(path: Path) -> Checkpoint:
    """Raises `BrokenBase` for a damaged file, another architecture, or an unknown tokenizer or quantisation."""
    gguf = GgufFile.open(path)
    names = GgufNames.of(gguf)
    return Checkpoint(
        config=names.config,
        shapes={ours: gguf.shape(theirs) for ours, theirs in names.theirs.items()},
        read=lambda name: bf16_bits(names.in_our_numbers(name, gguf.tensor(names.theirs[name]))),
        tokenizer_json=tokenizer_json(gguf),
        chat_template=_chat_template(gguf),
        bos_token=gguf.token("bos_token_id"),
        eos_token=gguf.token("eos_token_id"),
        licence=str(gguf.metadata.get("general.license", "unknown")),
        stored_types=frozenset(tensor.tensor_type.name for tensor in gguf.tensors.values()),
    )


def _chat_template(gguf: GgufFile) -> str:
    template = gguf.metadata.get("tokenizer.chat_template")
    if template is not None:
        return str(template)
    return fallback(frozenset(gguf.require("tokenizer.ggml.tokens")).__contains__)
