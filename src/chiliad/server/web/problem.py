"""Errors for whoever asked: a page for people, a part of one for htmx, and OpenAI's JSON for programs."""

from __future__ import annotations

from fastapi import Request, Response

from chiliad.errors import ChiliadError
from chiliad.server.errors import error_headers, error_response, status_of
from chiliad.server.web.render import is_part, page


def answer(request: Request, error: ChiliadError) -> Response:
    """A page that is asked for without a key is the one to sign in at: once that is done, the same address shows it."""
    status = status_of(error)
    if not is_part(request) and "text/html" not in request.headers.get("accept", ""):
        return error_response(error)
    if is_part(request):
        reply = page(request, "_problem.html", status=status, error=error, code=status)
    elif status == 401:
        reply = page(request, "sign_in.html", status=status)
    else:
        reply = page(request, "problem.html", status=status, error=error, code=status)
    reply.headers.update(error_headers(error))
    return reply
