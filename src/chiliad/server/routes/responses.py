"""`POST /v1/responses`: a chat in OpenAI's newer shape, whole or as it is written. Nothing of it is stored."""

from __future__ import annotations

from functools import partial
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from chiliad.server.caller import From
from chiliad.server.conversation import prepared
from chiliad.server.response_writer import ResponseWriter
from chiliad.server.sse import EventStream
from chiliad.server.state import State
from chiliad.server.wire import responses as wire

router = APIRouter(prefix="/v1", tags=["responses"])


@router.post("/responses", response_model=wire.Response)
async def create_response(body: wire.ResponsesBody, request: Request, state: State, caller: From) -> Response:
    body.refuse_missing()
    response_id = f"resp_{uuid4().hex}"
    chat = body.chat()
    asked = await prepared(chat, response_id, state, caller)
    writer = ResponseWriter(response_id, asked.model, body, with_tools=chat.toolbox is not None)
    bill = asked.bill
    if not body.stream:
        [completion] = await state.complete(asked.starts, bill, request)
        return JSONResponse(writer.whole(completion, bill.usage()), headers=bill.headers)
    answers = state.begin(asked.starts, bill)
    end = partial(state.end, answers)
    return EventStream(writer.events(answers), answers, on_end=end, headers=bill.limits, named=True)
