"""`POST /v1/embeddings`: texts in, vectors out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from chiliad.server.errors import HttpError
from chiliad.server.wire.completions import TokenIds
from chiliad.server.wire.request import RequestBody
from chiliad.server.wire.text import Text

INPUTS_MAX = 2048
CHARS_MAX = 1 << 16
"""of one text: more than the tokens that are read can hold"""

Words = Annotated[Text, Field(min_length=1, max_length=CHARS_MAX)]


class EmbeddingBody(RequestBody):
    model: Text = Field(min_length=1, max_length=512)
    input: (
        Words
        | TokenIds
        | Annotated[list[Words], Field(min_length=1, max_length=INPUTS_MAX, fail_fast=True)]
        | Annotated[list[TokenIds], Field(min_length=1, max_length=INPUTS_MAX, fail_fast=True)]
    )
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(default=None, ge=1)

    @property
    def texts(self) -> list[str]:
        """Raises HttpError (400) for token ids: they come from a tokenizer that the embedder here does not have."""
        inputs = [self.input] if isinstance(self.input, str) else self.input
        texts = [text for text in inputs if isinstance(text, str)]
        if len(texts) < len(inputs):
            cause = "The input holds token ids of another model's tokenizer, which mean nothing here."
            fix = "Send texts (LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False))."
            raise HttpError(400, "unsupported_feature", cause, fix=fix, param="input")
        return texts


class Embedding(TypedDict):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str
    """floats, or their little-endian bytes (32 bits each) in base64"""


class EmbeddingUsage(TypedDict):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(TypedDict):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
