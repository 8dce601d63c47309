"""Server-sent events, the way OpenAI's clients read them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from chiliad.errors import ChiliadError
from chiliad.server.errors import error_body

DONE = b"data: [DONE]\n\n"


class EventStream(StreamingResponse):
    """Sends each chunk as one event and ends with `[DONE]`; an error on the way is the last event before the end.

    `on_end` is called exactly once however the stream ends: finished, failed, or the client left.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        chunks: AsyncIterator[Mapping[str, Any]],
        *,
        on_end: Callable[[], None],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            _encoded(chunks), headers={**(headers or {}), "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


async def _encoded(chunks: AsyncIterator[Mapping[str, Any]]) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            yield event(chunk)
    except ChiliadError as error:
        yield event(error_body(error))
    yield DONE


def event(content: Mapping[str, Any]) -> bytes:
    """JSON keeps line breaks escaped, so an event is always one `data:` line."""
    return b"data: " + json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
