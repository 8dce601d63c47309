"""Text to token ids and back, also one token at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers

from chiliad.errors import BrokenBase

# Tokens that end an answer in the chat formats of these models, beside the tokenizer's own end token.
_END_TOKENS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<end_of_turn>",
    "</s>",
)
_HALF_CHARACTER = "\N{REPLACEMENT CHARACTER}"


class Tokenizer:
    """The tokenizer of a base model, from its `tokenizer.json` and, beside it, `tokenizer_config.json`."""

    def __init__(self, path: Path) -> None:
        """Raises `BrokenBase` when the file cannot be read as a tokenizer."""
        try:
            self._backend = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 (the library raises bare Exception)
            raise BrokenBase(f"{path.name} cannot be read ({error}).", fix="Pull the base model again.") from None
        self._backend.no_truncation()
        self._backend.no_padding()
        special = read_special_tokens(path.parent)
        self.bos_token: str | None = special["bos_token"]
        self.eos_token: str | None = special["eos_token"]
        self.eos_ids: frozenset[int] = self._end_ids()
        self.begin: tuple[int, ...] = self._begin()
        self.vocab_size: int = self._backend.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`: nothing added at either end, special tokens in the text recognised."""
        # as a batch, since the other call keeps every thread of the process waiting: for half a minute of digits
        ids: list[int] = self._backend.encode_batch_fast([text], add_special_tokens=False)[0].ids
        return ids

    def encode_text(self, text: str) -> list[int]:
        """The same for a text that no chat template has written: behind the token that every text begins with, if any."""
        ids = self.encode(text)
        return ids if tuple(ids[: len(self.begin)]) == self.begin else [*self.begin, *ids]

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """The text of `ids`. Bytes that are not UTF-8 come out as U+FFFD."""
        text: str = self._backend.decode(list(ids), skip_special_tokens=skip_special)
        return text

    def to_json(self) -> str:
        """The tokenizer as the text of a `tokenizer.json`."""
        return str(self._backend.to_str())

    def _begin(self) -> tuple[int, ...]:
        """The beginning token, where the tokenizer puts it before a text of its own accord."""
        first = self._backend.encode("").ids[:1]
        begins = self.bos_token is not None and first == [self._backend.token_to_id(self.bos_token)]
        return tuple(first) if begins else ()

    def _end_ids(self) -> frozenset[int]:
        """The end token, and those of `_END_TOKENS` that are special here: elsewhere they may be ordinary text."""
        added = self._backend.get_added_tokens_decoder()
        ends = {token_id for token_id, token in added.items() if token.special and token.content in _END_TOKENS}
        end = None if self.eos_token is None else self._backend.token_to_id(self.eos_token)
        return frozenset(ends if end is None else ends | {end})


class StreamDecoder:
    """Turns ids into text as they come. The pieces joined are what decoding all ids at once gives."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._given = 0  # how many of `_ids` have been given out as text

    def push(self, token_id: int) -> str:
        """The text that became certain with this id: empty while a character is still incomplete."""
        self._ids.append(token_id)
        text = self._new_text()
        if not text or text.endswith(_HALF_CHARACTER):
            return ""
        # What was just given out stays as context for the next id: the first token of a text may be spelled
        # differently (without its space) from the same token further on.
        self._ids = self._ids[self._given :]
        self._given = len(self._ids)
        return text

    def flush(self) -> str:
        """What is left at the end; an incomplete character comes out as U+FFFD."""
        text = self._new_text()
        self._given = len(self._ids)
        return text

    def _new_text(self) -> str:
        before = self._tokenizer.decode(self._ids[: self._given])
        return self._tokenizer.decode(self._ids)[len(before) :]


def read_special_tokens(folder: Path) -> dict[str, str | None]:
    """`bos_token` and `eos_token` of a model folder as text, from `tokenizer_config.json`; None where not given.

    Raises `BrokenBase` when that file is there but cannot be read.
    """
    path = folder / "tokenizer_config.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return {name: _token_text(content.get(name)) for name in ("bos_token", "eos_token")}
    except (ValueError, AttributeError) as error:
        raise BrokenBase(f"{path.name} cannot be read ({error}).", fix="Fetch the model folder again.") from None


def _token_text(token: Any) -> str | None:
    """Older files describe a token as an object that has its text under `content`."""
    text = token.get("content") if isinstance(token, dict) else token
    return None if text is None else str(text)
