"""`POST /v1/completions`: a text, or token ids, continued as it stands, without the turns of a chat."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from chiliad.engine import Completion, Delta, Finished, Grammar, SamplingParams, TokenLogprob
from chiliad.server.answers import Answers, Start
from chiliad.server.bill import Order
from chiliad.server.caller import Caller, From
from chiliad.server.errors import HttpError
from chiliad.server.keepsake import Keepsake
from chiliad.server.sampling import sampling_params
from chiliad.server.service import AnyService, ServedModel, Turns
from chiliad.server.sse import EventStream
from chiliad.server.state import State
from chiliad.server.tokens import check_chars, check_ids, completion_logprobs
from chiliad.server.wire import completions as wire
from chiliad.server.wire.request import CHOICES_MAX
from chiliad.server.wire.usage import Usage

router = APIRouter(prefix="/v1", tags=["completions"])


@dataclass(frozen=True)
class _Prompt:
    text: str
    tokens: tuple[int, ...]


@router.post("/completions", response_model=wire.TextCompletion)
async def create_completion(body: wire.CompletionBody, request: Request, state: State, caller: From) -> Response:
    body.refuse_missing()
    _check(body)
    model, prompts, grammar = await state.with_model(partial(_read, state.service, body))
    await state.compile(model, grammar)
    writer = _Writer(model, body, prompts)
    keepsake = state.keepsake(body, writer.id, model, _turns(body, prompts), caller)
    asked = [(prompt, _sampling(model, prompt, body, keepsake, n)) for prompt in prompts for n in range(body.choices)]
    begun = partial(_start, state.service, model, body, grammar, caller)
    starts = [begun(prompt, sampling) for prompt, sampling in asked]
    bill = await state.open_bill(_order(writer.id, model, body, prompts, asked), caller)
    if not body.stream:
        completions = await state.complete(starts, bill, request)
        await keepsake.keep(completions)
        return JSONResponse(writer.whole(completions, bill.usage()), headers=bill.headers)
    answers = state.begin(starts, bill)
    chunks = writer.chunks(answers, keepsake)
    return EventStream(chunks, answers, on_end=partial(state.end, answers), headers=bill.limits)


def _check(body: wire.CompletionBody) -> None:
    """What the schema cannot say. Raises HttpError (400)."""
    if len(body.prompts) * body.choices > CHOICES_MAX:
        cause = f"{len(body.prompts)} prompts with {body.choices} answers each are more than {CHOICES_MAX} answers."
        raise HttpError.bad_value("n", cause, fix="Send them in several requests.")
    if body.max_tokens == 0 and not body.echo:
        raise HttpError.bad_value("max_tokens", "Nothing is asked for.", fix="Set max_tokens to 1 or more, or echo.")
    if body.stream and body.echo and body.logprobs is not None:
        raise HttpError.unsupported("stream", "Streaming an echoed prompt's log-probabilities")


def _read(service: AnyService, body: wire.CompletionBody) -> tuple[ServedModel, tuple[_Prompt, ...], Grammar | None]:
    """All that has to happen on a worker thread."""
    model = service.resolve(body.model)
    prompts = tuple(_read_prompt(prompt, model) for prompt in body.prompts)
    if not all(prompt.tokens for prompt in prompts):
        raise HttpError.bad_value("prompt", "A prompt has no tokens.", fix="Give every prompt at least one character.")
    return model, prompts, body.grammar


def _read_prompt(prompt: wire.Prompt, model: ServedModel) -> _Prompt:
    if isinstance(prompt, str):
        check_chars(len(prompt), model.context_max)
        return _Prompt(prompt, tuple(model.tokenizer.encode_text(prompt)))
    check_ids(prompt, model.tokenizer, param="prompt")
    return _Prompt(model.tokenizer.decode(prompt, skip_special=False), prompt)


def _order(
    answer_id: str,
    model: ServedModel,
    body: wire.CompletionBody,
    prompts: Sequence[_Prompt],
    asked: Sequence[tuple[_Prompt, SamplingParams]],
) -> Order:
    prompt_tokens = sum(len(prompt.tokens) for prompt in prompts)
    tokens_max = sum(sampling.max_tokens for _, sampling in asked)
    return Order(answer_id, model.root, prompt_tokens, tokens_max, body.choices)


def _turns(body: wire.CompletionBody, prompts: Sequence[_Prompt]) -> list[Turns]:
    """What stands before each answer, as a conversation: the prompt as it came, in one turn."""
    return [({"role": "user", "content": prompt.text},) for prompt in prompts for _ in range(body.choices)]


def _sampling(
    model: ServedModel, prompt: _Prompt, body: wire.CompletionBody, keepsake: Keepsake, choice: int
) -> SamplingParams:
    return sampling_params(
        body,
        choice=choice,
        tokens_max=body.answer_tokens_max,
        room=model.context_max - len(prompt.tokens),
        logprobs=keepsake.logprobs_top if body.logprobs is None else body.logprobs,
    )


def _start(
    service: AnyService,
    model: ServedModel,
    body: wire.CompletionBody,
    grammar: Grammar | None,
    caller: Caller,
    prompt: _Prompt,
    sampling: SamplingParams,
) -> Start:
    prompt_logprobs = body.logprobs if body.echo else None
    return lambda on_event: service.start(
        model,
        prompt.tokens,
        sampling,
        on_event,
        keep_to_choices=False,
        share=caller.share,
        priority=body.engine_priority,
        grammar=grammar,
        prompt_logprobs=prompt_logprobs,
    )


class _Writer:
    """Puts what the engine says into OpenAI's shapes. Choices are numbered prompt by prompt."""

    def __init__(self, model: ServedModel, body: wire.CompletionBody, prompts: Sequence[_Prompt]) -> None:
        self.id = f"cmpl-{uuid4().hex}"
        self._created_s = int(time.time())
        self._model = model
        self._body = body
        self._prompts = [prompt for prompt in prompts for _ in range(body.choices)]

    def whole(self, completions: Sequence[Completion], used: Usage) -> wire.TextCompletion:
        return self._frame([self._choice(index, completion) for index, completion in enumerate(completions)], used)

    async def chunks(self, answers: Answers, keepsake: Keepsake) -> AsyncIterator[wire.TextCompletion]:
        """The prompts, if they are to be echoed, then the texts in pieces, and why each ended; last the usage."""
        lengths = [0] * len(self._prompts)
        done: dict[int, Completion] = {}
        for index, prompt in enumerate(self._prompts if self._body.echo else ()):
            yield self._piece(index, prompt.text)
        async for step in answers:
            match step.event:
                case Delta(text, tokens, scores):
                    logprobs = self._logprobs(tokens, scores, offset=lengths[step.index])
                    lengths[step.index] += len(text)
                    if text or logprobs is not None:
                        yield self._piece(step.index, text, logprobs=logprobs)
                case Finished(completion):
                    done[step.index] = completion
                    if len(done) == len(self._prompts):
                        await keepsake.keep([done[index] for index in sorted(done)])
                    yield self._piece(step.index, "", finish_reason=completion.finish_reason.value)
        if self._body.include_usage:
            yield self._frame([], answers.bill.usage())

    def _choice(self, index: int, completion: Completion) -> wire.CompletionChoice:
        prompt = self._prompts[index]
        if self._body.echo:
            text = prompt.text + completion.text
            tokens = prompt.tokens + completion.tokens
            scores = (*(completion.prompt_logprobs or ()), *(completion.logprobs or ()))
        else:
            text, tokens, scores = completion.text, completion.tokens, completion.logprobs or ()
        return wire.CompletionChoice(
            index=index,
            text=text,
            logprobs=self._logprobs(tokens, scores, offset=0),
            finish_reason=completion.finish_reason.value,
        )

    def _piece(
        self,
        index: int,
        text: str,
        *,
        logprobs: wire.CompletionLogprobs | None = None,
        finish_reason: wire.FinishReason | None = None,
    ) -> wire.TextCompletion:
        choice = wire.CompletionChoice(index=index, text=text, logprobs=logprobs, finish_reason=finish_reason)
        return self._frame([choice], None)

    def _frame(self, choices: list[wire.CompletionChoice], used: Usage | None) -> wire.TextCompletion:
        frame = wire.TextCompletion(
            id=self.id,
            object="text_completion",
            created=self._created_s,
            model=self._model.root,
            choices=choices,
        )
        wants_usage = self._body.include_usage or not self._body.stream
        return wire.TextCompletion(**frame, usage=used) if wants_usage else frame

    def _logprobs(
        self, tokens: Sequence[int], scores: Sequence[TokenLogprob | None], *, offset: int
    ) -> wire.CompletionLogprobs | None:
        if self._body.logprobs is None:
            return None
        return completion_logprobs(tokens, scores, self._model.tokenizer, offset=offset)
