"""Only this machine's own pages may call a server that trusts this machine.

A page from elsewhere can reach a loopback port through the user's browser. DNS rebinding lets it even appear to be on the
same origin, but then its `Host` header carries the foreign name. So on loopback the host must be a loopback name, and
everywhere a request that comes from a page must come from a page of this server.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from chiliad.server.errors import HttpError, error_response


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address without a port, can only mean this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


class OriginGuard:
    """Answers 403 to a foreign `Host` (if `loopback_only`) and to a foreign `Origin`."""

    def __init__(self, app: ASGIApp, *, loopback_only: bool) -> None:
        self._app = app
        self._loopback_only = loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = self._objection(Headers(scope=scope)) if scope["type"] == "http" else None
        app = self._app if error is None else error_response(error)
        await app(scope, receive, send)

    def _objection(self, headers: Headers) -> HttpError | None:
        host = headers.get("host", "")
        if self._loopback_only and not is_loopback(_name(f"//{host}")):
            cause = "This server listens on loopback and answers only to loopback names."
            return HttpError(403, "host_not_allowed", cause, fix="Use http://127.0.0.1 or http://localhost.")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            cause = "The request comes from a web page of another origin."
            return HttpError(
                403, "origin_not_allowed", cause, fix="Call the server from a program, or from its own page."
            )
        return None


def _name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
