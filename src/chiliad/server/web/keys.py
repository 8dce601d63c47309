"""`/keys`: who may ask, for admins."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from chiliad.server.state import State
from chiliad.server.web.origin import OUR_FORMS
from chiliad.server.web.render import page
from chiliad.server.wire.keys import COUNT_MAX
from chiliad.server.wire.listing import InPath
from chiliad.store import DEFAULT_PROJECT, Limits, NewKey, Role
from chiliad.store.keys import PROJECT_PATTERN

TEXT_MAX = 512

router = APIRouter(prefix="/keys", include_in_schema=False, dependencies=OUR_FORMS)

Count = Annotated[int | None, Form(ge=0, le=COUNT_MAX)]


@router.get("")
async def keys(request: Request, state: State) -> HTMLResponse:
    return await _listed(request, state)


@router.post("")
async def create(
    request: Request,
    state: State,
    name: Annotated[str, Form(max_length=TEXT_MAX)],
    role: Annotated[Role, Form()],
    project: Annotated[str, Form(max_length=TEXT_MAX)] = DEFAULT_PROJECT,
    requests_per_minute: Count = None,
    tokens_per_minute: Count = None,
    spend_per_month: Annotated[float | None, Form(ge=0, allow_inf_nan=False)] = None,
) -> HTMLResponse:
    """The page that comes back is the only one that ever holds the secret."""
    limits = Limits(requests_per_minute, tokens_per_minute, spend_per_month)
    made = await asyncio.to_thread(state.accounts.keys.create, name, role=role, project=project, limits=limits)
    return await _listed(request, state, made)


@router.post("/{key_id}/revoke")
async def revoke(state: State, key_id: InPath) -> RedirectResponse:
    await asyncio.to_thread(state.accounts.keys.revoke, key_id)
    return RedirectResponse("/keys", 303)


async def _listed(request: Request, state: State, made: NewKey | None = None) -> HTMLResponse:
    found = await asyncio.to_thread(state.accounts.keys.all)
    content: dict[str, Any] = {
        "keys": found,
        "made": made,
        "now_s": state.accounts.clock(),
        "roles": Role,
        "default_project": DEFAULT_PROJECT,
        "project_pattern": PROJECT_PATTERN,
        "currency": state.accounts.price.currency,
    }
    return page(request, "keys.html", **content)
