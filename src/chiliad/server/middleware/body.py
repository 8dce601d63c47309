"""A body is bounded in bytes and in seconds, whatever its headers say."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chiliad.server.errors import HttpError, error_response

LINGER_S = 2.0


class BodyLimit:
    """Reads the whole body before the route runs, and turns away one that is too long (413) or too slow (408)."""

    def __init__(self, app: ASGIApp, *, bytes_max: int, seconds_max: float) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
        except HttpError as error:
            await _refuse(error, scope, receive, send)
            return
        if body is not None:
            await self._app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body, or None when the client left before its end. Raises HttpError."""
        if _declared_bytes(scope) > self._bytes_max:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._seconds_max):
                return await self._collect(receive)
        except TimeoutError:
            cause = f"The body did not arrive within {self._seconds_max:g} seconds."
            raise HttpError(
                408, "body_too_slow", cause, fix="Send less in one request, or raise server.body_seconds_max."
            ) from None

    async def _collect(self, receive: Receive) -> bytes | None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self._bytes_max:
                raise self._too_large()
            if not message.get("more_body", False):
                return bytes(body)

    def _too_large(self) -> HttpError:
        cause = f"The body is larger than {self._bytes_max} bytes."
        return HttpError(413, "body_too_large", cause, fix="Send less in one request, or raise server.body_bytes_max.")


def _declared_bytes(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


async def _refuse(error: HttpError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, and then read on for a moment before the connection closes.

    Closing at once would break the connection of a client that is still sending, before it has read the answer.
    """

    async def send_lingering(message: Message) -> None:
        last = message["type"] == "http.response.body"
        await send({**message, "more_body": True} if last else message)
        if last:
            await _discard(receive)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    reply = error_response(error)
    reply.headers["Connection"] = "close"  # what is left of the body would be read as the next request
    await reply(scope, receive, send_lingering)


async def _discard(receive: Receive) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while (await receive()).get("more_body", False):
                pass


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives the body once, then what the client does next (it can only leave)."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
