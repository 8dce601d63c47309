"""`/v1/session`: a browser signs in with a key or with the admin link's code, and carries a cookie from then on.

The cookie is out of reach of scripts (HttpOnly) and of other sites (SameSite=Strict); requests that come from other pages
are refused before they get here.
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from chiliad.server.caller import ADMIN_LINK, COOKIE, Caller, From
from chiliad.server.errors import HttpError
from chiliad.server.state import ServerState, State
from chiliad.server.wire.text import Text
from chiliad.store.audit import acting_as
from chiliad.store.keys import MARK
from chiliad.store.sessions import LIVES_S

router = APIRouter(prefix="/v1/session", tags=["session"])


class Credentials(BaseModel):
    """One of the two."""

    model_config = ConfigDict(extra="forbid")

    key: Text | None = Field(default=None, max_length=512)
    code: Text | None = Field(default=None, max_length=512)


class Me(TypedDict):
    id: str
    name: str
    role: str
    project: str


@router.post("")
async def sign_in(body: Credentials, request: Request, response: Response, state: State) -> Me:
    caller = await _who(body, state)
    key_id = None if caller is ADMIN_LINK else caller.id
    with acting_as(caller.id):
        token = await asyncio.to_thread(state.accounts.sessions.open, key_id)
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, token, max_age=int(LIVES_S), httponly=True, samesite="strict", secure=secure)
    response.headers["Cache-Control"] = "no-store"
    return _me(caller)


@router.get("")
async def who_am_i(caller: From) -> Me:
    return _me(caller)


@router.delete("", status_code=204)
async def sign_out(request: Request, response: Response, state: State) -> None:
    token = request.cookies.get(COOKIE)
    if token:
        await asyncio.to_thread(state.accounts.sessions.close, token)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")


async def _who(credentials: Credentials, state: ServerState) -> Caller:
    """Raises HttpError (401)."""
    if credentials.key is not None:
        caller = await asyncio.to_thread(state.callers.holding, credentials.key)
        if caller is None:
            fix = f"Paste the whole key: it begins with {MARK}. An admin can make another one."
            raise HttpError(401, "invalid_api_key", "This is no key of this server, or it has ended.", fix=fix)
        return caller
    if credentials.code is not None and state.admin_link and state.admin_link.redeem(credentials.code):
        return ADMIN_LINK
    fix = "Start `chiliad serve` again for another link, or sign in with an admin's key."
    raise HttpError(401, "invalid_code", "This link has been used, has run out, or is not of this server.", fix=fix)


def _me(caller: Caller) -> Me:
    return Me(id=caller.id, name=caller.name, role=caller.role, project=caller.project)
