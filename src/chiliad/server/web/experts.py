"""`/`: who is here; `/experts/NAME`: one expert, its card and its versions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from chiliad.errors import ExpertNotFound, RegistryError
from chiliad.evals.plots import Curve, loss_curve
from chiliad.evals.wording import CURVES
from chiliad.registry import ExpertRef, ExpertVersion
from chiliad.registry.ids import ExpertName
from chiliad.server.caller import From
from chiliad.server.errors import HttpError
from chiliad.server.opened import Opened
from chiliad.server.web.cards import Shown, card_of, shown
from chiliad.server.web.origin import OUR_FORMS
from chiliad.server.web.render import HEADERS, page
from chiliad.server.web.snippets import snippets
from chiliad.workspace import Workspace

PAGE = 50
NUMBER_MAX = 999_999_999
MISTAKES_SHOWN_MAX = 5
CARD_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'"
"""a card is a page of its own, which opens from disk too: it has a style in it and no script"""

router = APIRouter(include_in_schema=False, dependencies=OUR_FORMS)

Number = Annotated[int, Path(ge=1, le=NUMBER_MAX)]


@dataclass(frozen=True)
class Listed:
    name: ExpertName
    versions: int
    live: Shown | None


@router.get("/")
async def experts(
    request: Request,
    workspace: Opened,
    q: Annotated[str, Query(max_length=100)] = "",
    start: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = 0,
) -> HTMLResponse:
    """Those with `q` in their name, a page at a time."""

    def look() -> tuple[int, list[Listed]]:
        found = [one for one in workspace.registry.experts() if q.strip().lower() in one.name]
        return len(found), [
            Listed(one.name, len(one.numbers), shown(workspace, one.live) if one.live else None)
            for one in found[start : start + PAGE]
        ]

    total, listed = await asyncio.to_thread(look)
    return page(request, "experts.html", experts=listed, total=total, q=q, start=start, page_rows=PAGE)


@router.get("/experts/{name}")
async def expert(
    request: Request,
    workspace: Opened,
    name: str,
    version: Annotated[int | None, Query(ge=1, le=NUMBER_MAX)] = None,
) -> HTMLResponse:
    """One version: the live one, if no other is asked for, and the newest if none is live."""
    content = await asyncio.to_thread(_one, workspace, name, version)
    programs = snippets(str(request.base_url).rstrip("/"), name if version is None else f"{name}@{version}")
    return page(request, "expert.html", **content, snippets=programs, mistakes_max=MISTAKES_SHOWN_MAX)


@router.get("/experts/{name}/{number}/card")
async def whole_card(workspace: Opened, name: str, number: Number) -> HTMLResponse:
    """The card as it is handed on: one page that needs nothing else."""

    def read() -> str:
        card = card_of(workspace, workspace.registry.get(ExpertRef(ExpertName(name), number)).ref)
        if card is None:
            fix = f"`chiliad eval {name}@{number}` makes one."
            raise HttpError(404, "no_card", "This version has no card.", fix=fix)
        return card.to_html()

    html = await asyncio.to_thread(read)
    return HTMLResponse(html, headers={**HEADERS, "Content-Security-Policy": CARD_POLICY})


@router.post("/experts/{name}/promote")
async def promote(workspace: Opened, name: str, number: Annotated[int, Form(ge=1, le=NUMBER_MAX)]) -> RedirectResponse:
    """Make a version live, if the gate lets it, by the comparison that its training has left."""
    return await _moved(name, lambda: workspace.registry.promote(name, number))


@router.post("/experts/{name}/rollback")
async def roll_back(workspace: Opened, name: str) -> RedirectResponse:
    return await _moved(name, lambda: workspace.registry.rollback(name))


@router.post("/experts/{name}/evaluate")
async def evaluate(
    workspace: Opened, caller: From, name: str, number: Annotated[int, Form(ge=1, le=NUMBER_MAX)]
) -> RedirectResponse:
    """Queue the evaluation of a version that has no card yet; then its page, which ends with the verdict."""
    job = await asyncio.to_thread(workspace.jobs.of(caller.scope).evaluate, f"{name}@{number}")
    return RedirectResponse(f"/jobs/{job.id}", 303)


def _one(workspace: Workspace, name: str, number: int | None) -> dict[str, Any]:
    registry = workspace.registry
    versions = registry.versions(name)
    live = _live(workspace, name)
    wanted = registry.get(ExpertRef(ExpertName(name), number)) if number else live or versions[-1]
    picked = shown(workspace, wanted)
    return {
        "name": name,
        "live": live.number if live else None,
        "shown": picked,
        "versions": [shown(workspace, version) for version in reversed(versions)],
        "earlier": any(step.version != (live.number if live else None) for step in registry.history(name)),
        "curve": _curve(picked.version),
    }


def _live(workspace: Workspace, name: str) -> ExpertVersion | None:
    try:
        return workspace.registry.get(ExpertRef(ExpertName(name)))
    except ExpertNotFound:
        return None


def _curve(version: ExpertVersion) -> Curve | None:
    train, dev = (version.training.get(part) or () for part in CURVES)
    return loss_curve(train, dev)


async def _moved(name: str, move: Callable[[], object]) -> RedirectResponse:
    """To the expert's page again. Raises HttpError (409) when the gate, or the history, is against it."""
    try:
        await asyncio.to_thread(move)
    except ExpertNotFound:
        raise
    except RegistryError as error:
        raise HttpError(409, error.code, error.cause, fix=error.fix) from error
    return RedirectResponse(f"/experts/{name}", 303)
