"""Pages that need nothing but this server: `GET /`, to try an expert, and `GET /admin`, to sign in."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> HTMLResponse:
    return _PAGE.response()


@router.get("/admin")
async def admin() -> HTMLResponse:
    return _ADMIN.response()


class _Page:
    """One file, with a policy that lets its own style and script work and nothing else."""

    def __init__(self, name: str) -> None:
        self._content = files("chiliad.server").joinpath(name).read_text("utf-8")
        policy = (
            f"default-src 'none'; style-src {self._source('style')}; script-src {self._source('script')}; "
            "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._headers = {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }

    def response(self) -> HTMLResponse:
        return HTMLResponse(self._content, headers=self._headers)

    def _source(self, tag: str) -> str:
        """The content-security-policy source that allows the page's one inline `tag`, and no other."""
        content = re.search(f"<{tag}>(.*?)</{tag}>", self._content, re.DOTALL)
        assert content is not None
        digest = hashlib.sha256(content[1].encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"


_PAGE, _ADMIN = _Page("page.html"), _Page("admin.html")
