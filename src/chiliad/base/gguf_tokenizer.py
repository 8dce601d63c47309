"""A GGUF file's vocabulary as a `tokenizer.json`.

The JSON is written here and not by the tokenizers library, so that its bytes, and with them a base's fingerprint, do
not depend on that library's version.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from chiliad.base.gguf_file import GgufFile
from chiliad.errors import BrokenBase

_CONTROL, _USER_DEFINED = 3, 4

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_SINGLE_DIGITS = [{"type": "Digits", "individual_digits": True}, _BYTE_LEVEL]
_LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = [
    {"type": "Split", "pattern": {"Regex": _LLAMA3_SPLIT}, "behavior": "Isolated", "invert": False},
    {**_BYTE_LEVEL, "use_regex": False},
]
_QWEN2 = [{**_LLAMA3[0], "pattern": {"Regex": _LLAMA3_SPLIT.replace("{1,3}", "")}}, _LLAMA3[1]]
# How text is cut before merging, by llama.cpp's name for it (`tokenizer.ggml.pre`).
_PRE_TOKENIZERS: dict[str, list[dict[str, Any]]] = {
    "gpt-2": [_BYTE_LEVEL],
    "smollm": _SINGLE_DIGITS,
    "starcoder": _SINGLE_DIGITS,
    "refact": _SINGLE_DIGITS,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "qwen2": _QWEN2,
}


def tokenizer_json(gguf: GgufFile) -> str:
    """The text of `tokenizer.json`. Raises `BrokenBase` for a kind of tokenizer that is not known."""
    builders = {"gpt2": _byte_level, "llama": _sentencepiece}
    kind = gguf.require("tokenizer.ggml.model")
    if kind not in builders:
        raise BrokenBase(
            f"The GGUF file's tokenizer is of kind {kind!r}.",
            fix=f"Use a file with one of {', '.join(builders)}, or pull the model's own folder with its tokenizer.json.",
        )
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(gguf),
        "post_processor": _beginning(gguf),
        **builders[kind](gguf),
    }
    return json.dumps(content, ensure_ascii=False) + "\n"


def _byte_level(gguf: GgufFile) -> dict[str, Any]:
    pre = gguf.metadata.get("tokenizer.ggml.pre")
    if pre not in _PRE_TOKENIZERS:
        raise BrokenBase(
            f"The GGUF file cuts text in a way that is not known here (tokenizer.ggml.pre is {pre!r}).",
            fix="Pull the model's own folder, which has a tokenizer.json, instead of this GGUF file.",
        )
    merges = [merge.split(" ") for merge in gguf.require("tokenizer.ggml.merges")]
    return {
        "normalizer": {"type": "NFC"} if pre == "qwen2" else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _PRE_TOKENIZERS[pre]},
        "decoder": {**_BYTE_LEVEL, "add_prefix_space": True},
        "model": _bpe(_vocabulary(gguf), merges, whole_words=_PRE_TOKENIZERS[pre] is _LLAMA3),
    }


def _sentencepiece(gguf: GgufFile) -> dict[str, Any]:
    vocabulary = _vocabulary(gguf)
    prefix_space = bool(gguf.metadata.get("tokenizer.ggml.add_space_prefix", True))
    decoders: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if prefix_space:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Metaspace",
            "replacement": "▁",
            "prepend_scheme": "first" if prefix_space else "never",
            "split": False,
        },
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": _bpe(
            vocabulary,
            _merges_by_score(vocabulary, gguf.require("tokenizer.ggml.scores")),
            unknown=gguf.token("unknown_token_id"),
        ),
    }


def _bpe(
    vocabulary: dict[str, int],
    merges: Sequence[Sequence[str]],
    *,
    unknown: str | None = None,
    whole_words: bool = False,
) -> dict[str, Any]:
    """`unknown` marks a sentencepiece model, which spells what it does not know in bytes."""
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": unknown,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": unknown is not None,
        "byte_fallback": unknown is not None,
        "ignore_merges": whole_words,
        "vocab": vocabulary,
        "merges": merges,
    }


def _vocabulary(gguf: GgufFile) -> dict[str, int]:
    return {token: index for index, token in enumerate(gguf.require("tokenizer.ggml.tokens"))}


def _merges_by_score(vocabulary: dict[str, int], scores: Sequence[float]) -> list[tuple[str, str]]:
    """The merges that a sentencepiece vocabulary implies: every cut of a token into two tokens, best score first."""
    found = [
        (-scores[index], -cut, cut - len(token), index, token[:cut], token[cut:])
        for token, index in vocabulary.items()
        for cut in range(1, len(token))
        if token[:cut] in vocabulary and token[cut:] in vocabulary
    ]
    return [(left, right) for *_, left, right in sorted(found)]


def _beginning(gguf: GgufFile) -> dict[str, Any] | None:
    """The token that a text begins with, where the file says that there is one, or is of the kind that has one."""
    token_id = gguf.metadata.get("tokenizer.ggml.bos_token_id")
    sentencepiece = gguf.metadata["tokenizer.ggml.model"] == "llama"
    token = gguf.token("bos_token_id")
    if token is None or not gguf.metadata.get("tokenizer.ggml.add_bos_token", sentencepiece):
        return None
    begin = {"SpecialToken": {"id": token, "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [begin, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [begin, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {token: {"id": token, "ids": [token_id], "tokens": [token]}},
    }


def _added_tokens(gguf: GgufFile) -> list[dict[str, Any]]:
    kinds = gguf.metadata.get("tokenizer.ggml.token_type", ())
    return [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind == _CONTROL,
        }
        for index, (token, kind) in enumerate(zip(gguf.require("tokenizer.ggml.tokens"), kinds, strict=False))
        if kind in (_CONTROL, _USER_DEFINED)
    ]
