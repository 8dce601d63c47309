"""`/review`: kept answers, the most useful to look at first, decided about with a key each; and the retraining after."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from chiliad.errors import DataError, FeedbackError
from chiliad.server.caller import Caller, From
from chiliad.server.errors import HttpError
from chiliad.server.opened import Opened
from chiliad.server.web.origin import OUR_FORMS
from chiliad.server.web.render import is_part, page
from chiliad.server.wire.feedback import AFTER_MAX, TEXT_CHARS_MAX
from chiliad.server.wire.listing import ID_PATTERN, WITHOUT_NUL, InPath
from chiliad.store import Decision, ReviewOrder
from chiliad.workspace import Workspace

PATH = "/review"
SHOWN_MAX = 20
"""answers at once"""
AFTER_FIRST = 50
"""corrections that a rule waits for, until somebody says another number"""

router = APIRouter(prefix=PATH, include_in_schema=False, dependencies=OUR_FORMS)

OfExpert = Annotated[str, Query(pattern=f"^$|{ID_PATTERN}")]
"""by its name; none stands for all of them, as a form sends it"""


@router.get("")
async def review(
    request: Request,
    workspace: Opened,
    caller: From,
    order: ReviewOrder = ReviewOrder.USEFULNESS,
    expert: OfExpert = "",
) -> HTMLResponse:
    """Those that nobody has decided about, of one expert or of all, and what is gathered by now."""

    def look() -> dict[str, Any]:
        queue = partial(workspace.feedback.queue, project=caller.sees, order=order, expert=expert or None)
        found = queue(limit=SHOWN_MAX + 1)
        return {
            "items": found[:SHOWN_MAX],
            "more": len(found) > SHOWN_MAX,
            "experts": [one.name for one in workspace.registry.experts()],
            "suggestions": workspace.feedback.suggestions(project=caller.sees),
            **_gathered(workspace, caller),
        }

    content = await asyncio.to_thread(look)
    days = workspace.settings.answers.retention_days
    return page(request, "review.html", order=order, orders=ReviewOrder, expert=expert, keep_days=days, **content)


@router.get("/{answer_id}")
async def one(request: Request, workspace: Opened, caller: From, answer_id: InPath) -> HTMLResponse:
    """One answer to decide about, or to decide about once more: a part of the page, or a page of its own."""
    item = await asyncio.to_thread(workspace.feedback.item, answer_id, project=caller.sees)
    if is_part(request):
        return page(request, "_review_item.html", item=item, problem=None)
    gathered = await asyncio.to_thread(_gathered, workspace, caller)
    return page(request, "review_one.html", item=item, problem=None, **gathered)


@router.post("/{answer_id}")
async def decide(
    request: Request,
    workspace: Opened,
    caller: From,
    answer_id: InPath,
    decision: Annotated[Decision, Form()],
    answer: Annotated[str, Form(max_length=TEXT_CHARS_MAX, pattern=WITHOUT_NUL)] = "",
) -> Response:
    """The last word counts. What the form gets back is the decision in a line, and what is gathered with it."""
    feedback = workspace.feedback
    settle = partial(feedback.decide, by=caller.id, project=caller.sees)
    try:
        decided = await asyncio.to_thread(settle, answer_id, decision, answer or None)
    except FeedbackError as error:
        if not is_part(request):
            raise
        item = await asyncio.to_thread(feedback.item, answer_id, project=caller.sees)
        return page(request, "_review_item.html", item=item, problem=error)
    if not is_part(request):
        return RedirectResponse(PATH, 303)
    content = await asyncio.to_thread(_gathered, workspace, caller)
    return page(request, "_decided.html", decided=decided, **content)


@router.post("/{answer_id}/delete")
async def delete(request: Request, workspace: Opened, caller: From, answer_id: InPath) -> Response:
    """With what was said about it."""
    await asyncio.to_thread(workspace.feedback.answers.delete, answer_id, project=caller.sees)
    return page(request, "_deleted.html") if is_part(request) else RedirectResponse(PATH, 303)


@router.post("/experts/{name}/retrain")
async def retrain(workspace: Opened, caller: From, name: InPath) -> RedirectResponse:
    """Freeze the next dataset and queue the training on it; then its page, which ends with the gate's verdict."""
    try:
        job = await asyncio.to_thread(workspace.feedback.retrain, name, project=caller.sees)
    except DataError as error:
        raise HttpError(400, error.code, error.cause, fix=error.fix) from error
    return RedirectResponse(f"/jobs/{job.id}", 303)


@router.post("/experts/{name}/rule")
async def rule(
    request: Request,
    workspace: Opened,
    caller: From,
    name: InPath,
    after: Annotated[int | None, Form(ge=1, le=AFTER_MAX)] = None,
) -> Response:
    """Retrain by itself after so many corrections of the caller's project; without a number not any more."""
    await asyncio.to_thread(workspace.feedback.set_rule, name, project=caller.project, after=after)
    if not is_part(request):
        return RedirectResponse(PATH, 303)
    return page(request, "_gathered.html", **await asyncio.to_thread(_gathered, workspace, caller))


def _gathered(workspace: Workspace, caller: Caller) -> dict[str, Any]:
    found = workspace.feedback.standings(project=caller.sees, own_project=caller.project)
    return {"standings": found, "after_first": AFTER_FIRST, "after_max": AFTER_MAX}
