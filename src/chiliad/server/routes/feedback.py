"""`POST /v1/feedback`: what somebody thinks of an answer, or how it turned out."""

from __future__ import annotations

import asyncio
from functools import partial

from fastapi import APIRouter

from chiliad.server.access import Need
from chiliad.server.caller import From
from chiliad.server.opened import Opened
from chiliad.server.wire.feedback import FeedbackBody, GivenOnWire, given_on_wire

router = APIRouter(prefix="/v1/feedback", tags=["feedback"])


@router.post("", status_code=201)
async def give_feedback(body: FeedbackBody, workspace: Opened, caller: From) -> GivenOnWire:
    """On an answer that was kept. The demonstration of somebody who may review decides about the answer, too."""
    trusted = Need.WORK.met_by(caller.role)
    give = partial(workspace.feedback.give, by=caller.id, project=caller.sees, trusted=trusted)
    return given_on_wire(await asyncio.to_thread(give, body.answer_id, body.said()))
