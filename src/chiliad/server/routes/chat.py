"""`POST /v1/chat/completions`: a conversation in, the next turn out, whole or as it is written."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from chiliad.engine import Completion, Delta, Finished, TokenLogprob
from chiliad.server.answers import Answers
from chiliad.server.caller import From
from chiliad.server.conversation import prepared
from chiliad.server.keepsake import Keepsake
from chiliad.server.service import ServedModel
from chiliad.server.sse import EventStream
from chiliad.server.state import State
from chiliad.server.tokens import chat_logprobs
from chiliad.server.tool_calls import begins_call, read_call
from chiliad.server.wire import chat as wire
from chiliad.server.wire.usage import Usage

router = APIRouter(prefix="/v1", tags=["chat"])


@router.post("/chat/completions", response_model=wire.ChatCompletion)
async def create_chat_completion(body: wire.ChatBody, request: Request, state: State, caller: From) -> Response:
    body.refuse_missing()
    answer_id = f"chatcmpl-{uuid4().hex}"
    asked = await prepared(body, answer_id, state, caller)
    writer, bill = _Writer(answer_id, asked.model, body), asked.bill
    if not body.stream:
        completions = await state.complete(asked.starts, bill, request)
        await asked.keepsake.keep(completions)
        return JSONResponse(writer.whole(completions, bill.usage()), headers=bill.headers)
    answers = state.begin(asked.starts, bill)
    chunks = writer.chunks(answers, asked.keepsake)
    return EventStream(chunks, answers, on_end=partial(state.end, answers), headers=bill.limits)


class _Writer:
    """Puts what the engine says into OpenAI's shapes."""

    def __init__(self, answer_id: str, model: ServedModel, body: wire.ChatBody) -> None:
        self._id = answer_id
        self._created_s = int(time.time())
        self._model = model
        self._with_logprobs = body.logprobs_top is not None
        self._with_usage = body.include_usage
        self._with_tools = body.toolbox is not None
        self._choices = body.choices

    def whole(self, completions: Sequence[Completion], used: Usage) -> wire.ChatCompletion:
        return wire.ChatCompletion(
            id=self._id,
            object="chat.completion",
            created=self._created_s,
            model=self._model.root,
            choices=[self._choice(index, completion) for index, completion in enumerate(completions)],
            usage=used,
        )

    async def chunks(self, answers: Answers, keepsake: Keepsake) -> AsyncIterator[wire.ChatChunk]:
        """The role of each answer, its text in pieces, why it ended; last the usage, if the client wants to know it."""
        done: dict[int, Completion] = {}
        calls: dict[int, bool] = {}  # whether an answer is a call, as soon as it has begun
        for index in range(self._choices):
            yield self._chunk(index, wire.Delta(role="assistant", content=""))
        async for step in answers:
            match step.event:
                case Delta(text, _, scores):
                    if text:
                        calls.setdefault(step.index, self._with_tools and begins_call(text))
                    shown = "" if calls.get(step.index) else text
                    if shown or (scores and self._with_logprobs):
                        yield self._chunk(step.index, wire.Delta(content=shown), scores=scores)
                case Finished(completion):
                    done[step.index] = completion
                    if len(done) == self._choices:
                        await keepsake.keep([done[index] for index in sorted(done)])
                    if calls.get(step.index):
                        yield self._chunk(step.index, _whole_call(completion))
                    yield self._chunk(step.index, wire.Delta(), finish_reason=self._finish_reason(completion))
        if self._with_usage:
            yield self._frame([], answers.bill.usage())

    def _choice(self, index: int, completion: Completion) -> wire.ChatChoice:
        message = wire.AnswerMessage(role="assistant", content=completion.text, refusal=None)
        call = read_call(completion.text) if self._with_tools else None
        if call is not None:
            message = wire.AnswerMessage(role="assistant", content=None, refusal=None, tool_calls=[call])
        return wire.ChatChoice(
            index=index,
            message=message,
            logprobs=self._logprobs(completion.logprobs or ()),
            finish_reason=self._finish_reason(completion),
        )

    def _finish_reason(self, completion: Completion) -> wire.FinishReason:
        called = self._with_tools and read_call(completion.text) is not None
        return "tool_calls" if called else completion.finish_reason.value

    def _chunk(
        self,
        index: int,
        delta: wire.Delta,
        *,
        scores: Sequence[TokenLogprob] = (),
        finish_reason: wire.FinishReason | None = None,
    ) -> wire.ChatChunk:
        logprobs = self._logprobs(scores) if scores else None
        choice = wire.ChunkChoice(index=index, delta=delta, logprobs=logprobs, finish_reason=finish_reason)
        return self._frame([choice], None)

    def _frame(self, choices: list[wire.ChunkChoice], used: Usage | None) -> wire.ChatChunk:
        frame = wire.ChatChunk(
            id=self._id,
            object="chat.completion.chunk",
            created=self._created_s,
            model=self._model.root,
            choices=choices,
        )
        return wire.ChatChunk(**frame, usage=used) if self._with_usage else frame

    def _logprobs(self, scores: Sequence[TokenLogprob]) -> wire.ChatLogprobs | None:
        return chat_logprobs(scores, self._model.tokenizer) if self._with_logprobs else None


def _whole_call(completion: Completion) -> wire.Delta:
    """A call in one piece; one that was cut short, as the text that it is."""
    call = read_call(completion.text)
    return wire.Delta(content=completion.text) if call is None else wire.Delta(tool_calls=[{"index": 0, **call}])
