"""`/v1/suggestions`: experts that are missing, by the requests that nothing serves well."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from chiliad.server.caller import From
from chiliad.server.opened import Opened
from chiliad.server.wire import feedback as wire

router = APIRouter(prefix="/v1/suggestions", tags=["feedback"])


@router.get("")
async def list_suggestions(workspace: Opened, caller: From) -> wire.SuggestionList:
    """What the newest search found, the largest kind of request first."""
    found = await asyncio.to_thread(workspace.feedback.suggestions, project=caller.sees)
    data = [wire.suggestion_on_wire(one) for one in found or ()]
    return wire.SuggestionList(object="list", data=data, searched=found is not None)


@router.post("", status_code=202)
async def search(workspace: Opened, caller: From) -> wire.Search:
    """Search in the background."""
    job = await asyncio.to_thread(workspace.feedback.suggest, project=caller.sees)
    return wire.Search(object="search", job_id=job.id, state=job.state)
