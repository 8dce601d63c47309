"""`/v1/review`: kept answers that somebody should look at, the most useful first, and what is decided about them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query

from chiliad.server.caller import From
from chiliad.server.opened import Opened
from chiliad.server.wire import feedback as wire
from chiliad.server.wire.listing import ID_PATTERN, InPath, Limit
from chiliad.store import ReviewOrder

SECONDS_MAX = 1e12

router = APIRouter(prefix="/v1/review", tags=["feedback"])

OfExpert = Annotated[str | None, Query(pattern=ID_PATTERN, description="Of one expert alone.")]


@router.get("")
async def list_review(
    workspace: Opened,
    caller: From,
    order: ReviewOrder = ReviewOrder.USEFULNESS,
    expert: OfExpert = None,
    limit: Limit = 20,
) -> wire.Queue:
    """Answers that nobody has decided about. One that is decided about leaves the list, and the next one comes up."""
    look = partial(workspace.feedback.queue, project=caller.sees, order=order, expert=expert, limit=limit)
    return wire.Queue(object="list", data=[wire.item_on_wire(item) for item in await asyncio.to_thread(look)])


@router.delete("")
async def purge_answers(
    workspace: Opened,
    caller: From,
    before: Annotated[float, Query(ge=0, le=SECONDS_MAX, allow_inf_nan=False, description="Seconds since 1970.")],
    expert: OfExpert = None,
) -> wire.Purged:
    """Remove all answers from before a time, decided about or not. Datasets that were made with them stay."""
    purge = partial(workspace.feedback.answers.purge, before_s=before, project=caller.sees, expert=expert)
    return wire.Purged(object="answers.purged", answers=await asyncio.to_thread(purge))


@router.get("/{answer_id}")
async def retrieve_answer(answer_id: InPath, workspace: Opened, caller: From) -> wire.ItemAlone:
    item = await asyncio.to_thread(workspace.feedback.item, answer_id, project=caller.sees)
    return wire.ItemAlone(**wire.item_on_wire(item), choices=list(item.choices))


@router.post("/{answer_id}")
async def decide(answer_id: InPath, body: wire.DecisionBody, workspace: Opened, caller: From) -> wire.DecidedOnWire:
    """The last word counts."""
    settle = partial(workspace.feedback.decide, by=caller.id, project=caller.sees)
    return wire.decided_on_wire(await asyncio.to_thread(settle, answer_id, body.decision, body.answer))


@router.delete("/{answer_id}")
async def delete_answer(answer_id: InPath, workspace: Opened, caller: From) -> wire.Deleted:
    """With what was said and decided about it."""
    await asyncio.to_thread(workspace.feedback.answers.delete, answer_id, project=caller.sees)
    return wire.Deleted(object="answer.deleted", deleted=True, id=answer_id)
