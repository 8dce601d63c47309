"""A body is bounded in bytes and in seconds, whatever its headers say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chiliad.server.errors import Answer, HttpError

LINGER_S = 2.0


@dataclass(frozen=True)
class Bounds:
    bytes_max: int
    seconds_max: float

    def too_large(self) -> HttpError:
        cause = f"The body is larger than {self.bytes_max} bytes."
        return HttpError(413, "body_too_large", cause, fix="Send less in one request, or raise the server's limit.")

    def too_slow(self) -> HttpError:
        cause = f"The body did not arrive within {self.seconds_max:g} seconds."
        return HttpError(408, "body_too_slow", cause, fix="Send less in one request, or raise the server's limit.")


class BodyLimit:
    """Turns away a body that is too long (413) or too slow (408).

    The route runs once the whole body is there, which is kept in memory; except on the `streamed` paths, where it reads the
    body as it comes, within bounds of their own, and is stopped where these are passed.
    """

    def __init__(self, app: ASGIApp, *, whole: Bounds, streamed: Mapping[str, Bounds], answer: Answer) -> None:
        self._app = app
        self._answer = answer
        self._whole = whole
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bounds = self._streamed.get(scope["path"])
        try:
            if _declared_bytes(scope) > (bounds or self._whole).bytes_max:
                raise (bounds or self._whole).too_large()
            if bounds is not None:
                await self._app(scope, _metered(receive, bounds), _lingering(receive, send))
                return
            body = await _collected(receive, self._whole)
        except HttpError as error:
            await self._answer(Request(scope), error)(scope, receive, _lingering(receive, send))
            return
        if body is not None:
            await self._app(scope, _replay(body, receive), send)


async def _collected(receive: Receive, bounds: Bounds) -> bytes | None:
    """The body, or None when the client left before its end. Raises HttpError."""
    body, metered = bytearray(), _metered(receive, bounds)
    while True:
        message = await metered()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _metered(receive: Receive, bounds: Bounds) -> Receive:
    """Passes the body on, and raises HttpError where it passes its bounds."""
    deadline_s = asyncio.get_running_loop().time() + bounds.seconds_max
    taken = 0
    whole = False

    async def metered() -> Message:
        nonlocal taken, whole
        if whole:  # what comes now is the client leaving, whenever that is
            return await receive()
        try:
            async with asyncio.timeout_at(deadline_s):
                message = await receive()
        except TimeoutError:
            raise bounds.too_slow() from None
        taken += len(message.get("body", b""))
        if taken > bounds.bytes_max:
            raise bounds.too_large()
        whole = not message.get("more_body", False)
        return message

    return metered


def _declared_bytes(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _lingering(receive: Receive, send: Send) -> Send:
    """After a refusal, read on for a moment before the connection closes.

    Closing at once would break the connection of a client that is still sending, before it has read the answer.
    """
    refused = False

    async def send_lingering(message: Message) -> None:
        nonlocal refused
        if message["type"] == "http.response.start":
            refused = message["status"] in (408, 413)
            # what is left of the body would be read as the next request
            closing = [(b"connection", b"close")] if refused else []
            await send({**message, "headers": [*message["headers"], *closing]})
        elif refused and not message.get("more_body", False):
            await send({**message, "more_body": True})
            await _discard(receive)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await send(message)

    return send_lingering


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
