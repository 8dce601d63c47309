"""What there is of the pages before anybody has signed in: the way in, and the files that every page loads."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from chiliad.server.errors import HttpError
from chiliad.server.web.render import ASSETS, asset, page

FOR_EVER = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


@router.get("/admin")
async def sign_in(request: Request) -> HTMLResponse:
    """Also where the admin link of a new server leads, with its code behind the `#`."""
    return page(request, "sign_in.html")


@router.get("/static/{name}")
async def static_file(name: str) -> Response:
    if name not in ASSETS:
        raise HttpError(404, "unknown_url", "There is no such file here.", fix="See the files that pages name.")
    headers = {"Cache-Control": FOR_EVER, "X-Content-Type-Options": "nosniff"}
    return Response(asset(name), media_type=ASSETS[name], headers=headers)
