"""Pages out of templates. All that is put into one is escaped, and no page may load or call anything but this server."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, cast

from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request

from chiliad.server.caller import ANYBODY, Caller
from chiliad.server.web import figures
from chiliad.server.web.language import COOKIE, LANGUAGES, PARAMETER, words_for
from chiliad.server.web.navigation import is_here, links_for, may

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers would hide the origin of our own forms too
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept, Accept-Language, Cookie",
}
ASSETS = {"htmx.min.js": "text/javascript", "chiliad.js": "text/javascript", "chiliad.css": "text/css"}
LANGUAGE_S = 365 * 24 * 3600


def page(request: Request, template: str, *, status: int = 200, **content: Any) -> HTMLResponse:
    """A template with its content, in the language of whoever asks, and what every page needs besides."""
    words, caller = words_for(request), caller_of(request)
    role = caller.role if caller else None
    html = (
        _templates()
        .get_template(template)
        .render(
            t=words,
            caller=caller,
            signed_in=caller is not None and caller is not ANYBODY,
            path=request.url.path,
            links=links_for(role),
            is_here=is_here,
            may=lambda method, path: may(role, method, path),
            languages={code: (name, _here(request, code)) for code, name in LANGUAGES.items()},
            **content,
        )
    )
    reply = HTMLResponse(html, status, headers=HEADERS)
    chosen = request.query_params.get(PARAMETER)
    if chosen in LANGUAGES:
        reply.set_cookie(COOKIE, chosen, max_age=LANGUAGE_S, samesite="lax", secure=request.url.scheme == "https")
    return reply


def is_part(request: Request) -> bool:
    """Whether a part of a page is wanted, to be put into the one that is there already."""
    return "hx-request" in request.headers


def to_page(request: Request, path: str) -> Response:
    """Send a browser to another page, whether a form asked or htmx did for it."""
    return Response(headers={"HX-Redirect": path}) if is_part(request) else RedirectResponse(path, 303)


def caller_of(request: Request) -> Caller | None:
    """None on pages that are open to everybody, and before somebody has signed in."""
    return cast("Caller | None", getattr(request.state, "caller", None))


def asset(name: str) -> bytes:
    """One of `ASSETS`."""
    return files("chiliad.server.web").joinpath("static", name).read_bytes()


@cache
def asset_path(name: str) -> str:
    """An address that changes with the file, so that browsers may keep it for ever."""
    return f"/static/{name}?{sha256(asset(name)).hexdigest()[:12]}"


def _here(request: Request, code: str) -> str:
    return "?" + request.url.include_query_params(**{PARAMETER: code}).query


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("chiliad.server.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"asset": asset_path, "figures": figures}
    return environment
