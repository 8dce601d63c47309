"""`POST /v1/embeddings`, by the small embedder of the workspace."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from uuid import uuid4

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from chiliad.embeddings import MiniLM, Vectors
from chiliad.embeddings.minilm import TOKENS_MAX
from chiliad.errors import BaseNotFound
from chiliad.server.bill import Order
from chiliad.server.caller import From
from chiliad.server.errors import HttpError
from chiliad.server.opened import Opened
from chiliad.server.state import ServerState, State
from chiliad.server.wire import embeddings as wire
from chiliad.workspace import Workspace

TEXTS_AT_ONCE = 64
"""embedded before somebody else has a turn: at most some seconds"""

router = APIRouter(prefix="/v1/embeddings", tags=["embeddings"])


@router.post("", response_model=wire.EmbeddingList)
async def create_embeddings(
    body: wire.EmbeddingBody, request: Request, workspace: Opened, state: State, caller: From
) -> Response:
    """Vectors of length 1, whose dot product says how alike two texts are."""
    state.refuse_if_closing()
    async with state.embeddings:
        embedder, tokens = await asyncio.to_thread(_read, workspace, body)
    order = Order(f"embd-{uuid4().hex}", embedder.id, prompt_tokens=tokens, tokens_max=0, choices=1)
    bill = await state.open_bill(order, caller)
    try:
        bill.begin(0)
        vectors = await _embedded(embedder, body.texts, request, state)
        bill.end(0)
    finally:
        bill.close()
    return await asyncio.to_thread(_answer, body, embedder, vectors, tokens, bill.headers)


def _read(workspace: Workspace, body: wire.EmbeddingBody) -> tuple[MiniLM, int]:
    """The embedder, and how many tokens it is to read. Raises BaseNotFound, HttpError (400)."""
    texts, embedder = body.texts, workspace.embedder
    _check(workspace, embedder, body)
    counts = embedder.count_tokens(texts)
    for index, count in enumerate(counts):
        if count > TOKENS_MAX:
            cause = f"This model's maximum context length is {TOKENS_MAX} tokens; text {index} has {count}."
            raise HttpError(400, "context_length_exceeded", cause, fix="Send it in shorter pieces.", param="input")
    return embedder, sum(counts)


async def _embedded(embedder: MiniLM, texts: list[str], request: Request, state: ServerState) -> Vectors:
    """A few texts at a time, as long as the client waits. Raises HttpError when it has left."""
    parts = []
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        if await request.is_disconnected():
            raise HttpError.client_gone()
        async with state.embeddings:
            parts.append(await asyncio.to_thread(embedder.embed, texts[start : start + TEXTS_AT_ONCE]))
    return np.concatenate(parts)


def _answer(
    body: wire.EmbeddingBody, embedder: MiniLM, vectors: Vectors, tokens: int, headers: Mapping[str, str]
) -> Response:
    """Written on a worker thread, since it may be megabytes of numbers."""
    as_text = body.encoding_format == "base64"
    answer = wire.EmbeddingList(
        object="list",
        data=[
            wire.Embedding(
                object="embedding",
                index=index,
                embedding=b64encode(vector.tobytes()).decode() if as_text else vector.tolist(),
            )
            for index, vector in enumerate(vectors.astype("<f4"))
        ],
        model=embedder.id,
        usage={"prompt_tokens": tokens, "total_tokens": tokens},
    )
    return JSONResponse(answer, headers=dict(headers))


def _check(workspace: Workspace, embedder: MiniLM, body: wire.EmbeddingBody) -> None:
    if embedder.id not in (body.model, workspace.settings.hosted(body.model)):
        raise BaseNotFound(f"There is no embedding model {body.model!r}.", fix=f"Ask {embedder.id}.")
    if body.dimensions not in (None, embedder.dimensions):
        cause = f"The vectors of {embedder.id} have {embedder.dimensions} numbers, and lose their meaning when cut."
        raise HttpError(400, "unsupported_feature", cause, fix="Leave `dimensions` out.", param="dimensions")
