"""One key for the whole server, as `Authorization: Bearer`. Keys per person come with the platform."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from chiliad.server.errors import HttpError, error_response

OPEN_PATHS = frozenset({"/", "/health", "/ready", "/version"})
"""They tell nothing about what is served"""


class KeyGuard:
    """Answers 401 to every path that is not open, known or unknown, unless the request carries the key."""

    def __init__(self, app: ASGIApp, *, api_key: str) -> None:
        self._app = app
        self._credentials = api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowed = scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._carries_key(Headers(scope=scope))
        app = self._app if allowed else error_response(_wrong_key())
        await app(scope, receive, send)

    def _carries_key(self, headers: Headers) -> bool:
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            credentials.strip().encode("latin-1"), self._credentials
        )


def _wrong_key() -> HttpError:
    fix = "Send the header Authorization: Bearer KEY with the server's CHILIAD_API_KEY."
    return HttpError(401, "invalid_api_key", "The API key is missing or wrong.", fix=fix)
