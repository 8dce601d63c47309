"""`POST /v1/completions`: a text or token ids continued. Chunks of a stream have the shape of the whole answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, NotRequired

from pydantic import Field, StrictInt
from typing_extensions import TypedDict

from chiliad.server.wire.request import CHOICES_MAX, MISSING_EVERYWHERE, TOKENS_MAX, GenerationBody, Missing
from chiliad.server.wire.text import Text
from chiliad.server.wire.usage import Usage

LOGPROBS_MAX = 20
ANSWER_TOKENS_DEFAULT = 16
"""OpenAI's own default for this route"""

TokenId = Annotated[StrictInt, Field(ge=0)]
TokenIds = Annotated[list[TokenId], Field(min_length=1, max_length=TOKENS_MAX, fail_fast=True)]
"""one error is enough of a list that may hold millions"""
Prompt = str | tuple[int, ...]
FinishReason = Literal["stop", "length"]


class CompletionBody(GenerationBody):
    missing: ClassVar[Mapping[str, Missing]] = {
        **MISSING_EVERYWHERE,
        "best_of": Missing("Choosing the best of several answers", harmless=(0, 1)),
        "suffix": Missing("Filling in before a suffix", harmless=("",)),
        "prompt_logprobs": Missing("vLLM's prompt_logprobs", harmless=(0,)),
    }

    prompt: (
        Text
        | TokenIds
        | Annotated[list[Text], Field(min_length=1, max_length=CHOICES_MAX, fail_fast=True)]
        | Annotated[list[TokenIds], Field(min_length=1, max_length=CHOICES_MAX, fail_fast=True)]
    )
    max_tokens: int | None = Field(default=None, ge=0, le=TOKENS_MAX)
    echo: bool | None = None
    logprobs: int | None = Field(default=None, ge=0, le=LOGPROBS_MAX)

    @property
    def answer_tokens_max(self) -> int:
        return ANSWER_TOKENS_DEFAULT if self.max_tokens is None else self.max_tokens

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        if isinstance(self.prompt, str):
            return (self.prompt,)
        if isinstance(self.prompt[0], int):
            return (_ids(self.prompt),)
        return tuple(item if isinstance(item, str) else _ids(item) for item in self.prompt)


def _ids(items: object) -> tuple[int, ...]:
    assert isinstance(items, list)
    return tuple(items)


class CompletionLogprobs(TypedDict):
    """Four lists of one length, a place for each token. The first token of an echoed prompt has no log-probability."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(TypedDict):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None


class TextCompletion(TypedDict):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: NotRequired[Usage | None]
