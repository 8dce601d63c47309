"""`POST /v1/embeddings`, by the small embedder of the workspace."""

from __future__ import annotations

import asyncio
from base64 import b64encode

from fastapi import APIRouter

from chiliad.embeddings import MiniLM
from chiliad.embeddings.minilm import TOKENS_MAX
from chiliad.errors import BaseNotFound
from chiliad.server.errors import HttpError
from chiliad.server.opened import Opened
from chiliad.server.wire import embeddings as wire
from chiliad.workspace import Workspace

router = APIRouter(prefix="/v1/embeddings", tags=["embeddings"])


@router.post("")
async def create_embeddings(body: wire.EmbeddingBody, workspace: Opened) -> wire.EmbeddingList:
    """Vectors of length 1, whose dot product says how alike two texts are."""
    return await asyncio.to_thread(_embedded, workspace, body)


def _embedded(workspace: Workspace, body: wire.EmbeddingBody) -> wire.EmbeddingList:
    texts, embedder = body.texts, workspace.embedder
    _check(workspace, embedder, body)
    counts = embedder.count_tokens(texts)
    for index, count in enumerate(counts):
        if count > TOKENS_MAX:
            cause = f"This model's maximum context length is {TOKENS_MAX} tokens; text {index} has {count}."
            raise HttpError(400, "context_length_exceeded", cause, fix="Send it in shorter pieces.", param="input")
    vectors = embedder.embed(texts).astype("<f4")
    as_text = body.encoding_format == "base64"
    return wire.EmbeddingList(
        object="list",
        data=[
            wire.Embedding(
                object="embedding",
                index=index,
                embedding=b64encode(vector.tobytes()).decode() if as_text else vector.tolist(),
            )
            for index, vector in enumerate(vectors)
        ],
        model=embedder.id,
        usage={"prompt_tokens": sum(counts), "total_tokens": sum(counts)},
    )


def _check(workspace: Workspace, embedder: MiniLM, body: wire.EmbeddingBody) -> None:
    if embedder.id not in (body.model, workspace.settings.hosted(body.model)):
        raise BaseNotFound(f"There is no embedding model {body.model!r}.", fix=f"Ask {embedder.id}.")
    if body.dimensions not in (None, embedder.dimensions):
        cause = f"The vectors of {embedder.id} have {embedder.dimensions} numbers, and lose their meaning when cut."
        raise HttpError(400, "unsupported_feature", cause, fix="Leave `dimensions` out.", param="dimensions")
