"""Changes come from our own pages: what the cookie and the guard of origins leave open."""

from __future__ import annotations

from fastapi import Depends, Request

from chiliad.server.errors import HttpError


async def _from_our_page(request: Request) -> None:
    """Every browser says where a form comes from, and `OriginGuard` has turned away all that come from elsewhere.

    A form without that is refused as well, so that nothing hangs on a browser's good will. Raises HttpError (403).
    """
    if request.method == "POST" and "origin" not in request.headers:
        cause = "A page's form is sent by a browser, which says where it comes from; this request does not."
        raise HttpError(403, "origin_required", cause, fix="Programs use the routes under /v1 instead.")


OUR_FORMS = [Depends(_from_our_page)]
"""the dependencies of every router of pages"""
