"""`GET /`: one page to see who is served and to try an expert. It needs nothing but this server."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

PAGE = files("chiliad.server").joinpath("page.html").read_text("utf-8")

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> HTMLResponse:
    return HTMLResponse(PAGE, headers=_HEADERS)


def _hash_of(tag: str) -> str:
    """The content-security-policy source that allows the page's one inline `tag`, and no other."""
    content = re.search(f"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    assert content is not None
    digest = hashlib.sha256(content[1].encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


_POLICY = (
    f"default-src 'none'; style-src {_hash_of('style')}; script-src {_hash_of('script')}; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
