"""Server-sent events, the way OpenAI's clients read them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from chiliad.errors import ChiliadError
from chiliad.server.answers import Answers, failing_when_gone
from chiliad.server.errors import error_body

DONE = b"data: [DONE]\n\n"
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class EventStream(StreamingResponse):
    """Sends each chunk as one event and ends with `[DONE]`; an error on the way is the last event before the end.

    Events that are there at the same time go out in one piece: half of what a token takes is its way into the socket.
    With `named` an event also has a name, which is the chunk's `type`.
    `on_end` is called exactly once however the stream ends: finished, failed, or the client left.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        chunks: AsyncIterator[Mapping[str, Any]],
        answers: Answers,
        *,
        on_end: Callable[[], None],
        headers: Mapping[str, str] | None = None,
        named: bool = False,
    ) -> None:
        """`chunks` are made of `answers`, one or more of each of their steps."""
        pieces = _pieces(chunks, answers, named=named)
        super().__init__(pieces, headers={**(headers or {}), "Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._pieces = pieces
        self._answers = answers
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with failing_when_gone(receive, self._answers):
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                async for piece in self._pieces:
                    more = not piece.endswith(DONE)
                    await send({"type": "http.response.body", "body": piece, "more_body": more})
        finally:
            self._on_end()


async def _pieces(chunks: AsyncIterator[Mapping[str, Any]], answers: Answers, *, named: bool) -> AsyncIterator[bytes]:
    """The events; `[DONE]` ends the last piece, and no other: within an event line breaks are escaped."""
    piece = bytearray()
    try:
        async for chunk in chunks:
            piece += f"event: {chunk['type']}\n".encode() + event(chunk) if named else event(chunk)
            if not answers.have_more:
                yield bytes(piece)
                piece.clear()
    except ChiliadError as error:
        piece += event(error_body(error))
    yield bytes(piece + DONE)


def event(content: Mapping[str, Any]) -> bytes:
    """JSON keeps line breaks escaped, so an event is always one `data:` line."""
    return b"data: " + _ENCODE(content).encode() + b"\n\n"
