"""`/tokenize`, `/detokenize` and `/tokenizer_info`, as vLLM has them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from chiliad.server.wire.completions import TokenId
from chiliad.server.wire.request import TOKENS_MAX, RequestBody
from chiliad.server.wire.text import Text

CHARS_MAX = 1 << 20
"""of a text to cut into tokens: a second or two of work"""


class TokenizeBody(RequestBody):
    model: Text | None = None
    prompt: Text = Field(max_length=CHARS_MAX)
    add_special_tokens: bool = False
    """accepted for vLLM's clients; base models here add none, so it changes nothing"""


class DetokenizeBody(RequestBody):
    model: Text | None = None
    tokens: Annotated[list[TokenId], Field(max_length=TOKENS_MAX, fail_fast=True)]


class Tokens(TypedDict):
    count: int
    max_model_len: int
    tokens: list[int]


class Detokenized(TypedDict):
    prompt: str


class TokenizerInfo(TypedDict):
    bos_token: str | None
    eos_token: str | None
    chat_template: str
