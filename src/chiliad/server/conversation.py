"""From a conversation, as chat completions and responses ask it, to answers that only have to be begun."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from chiliad.engine import Grammar, SamplingParams
from chiliad.server.answers import Start
from chiliad.server.bill import Bill, Order
from chiliad.server.caller import Caller
from chiliad.server.keepsake import Keepsake
from chiliad.server.sampling import sampling_params
from chiliad.server.service import AnyService, ServedModel, Turns
from chiliad.server.state import ServerState
from chiliad.server.tokens import check_chars
from chiliad.server.wire.chat import ChatBody


@dataclass(frozen=True)
class Prepared:
    """bill: open; `ServerState.complete` and `begin` see to it that it is closed"""

    model: ServedModel
    starts: list[Start]
    bill: Bill
    keepsake: Keepsake


async def prepared(body: ChatBody, answer_id: str, state: ServerState, caller: Caller) -> Prepared:
    """Find the model, render the prompt and open the bill. Raises ExpertNotFound, BaseNotFound, BadRequest, HttpError."""
    turns = body.turns()
    model, prompt, grammar = await state.with_model(partial(_read, state.service, body, turns))
    await state.compile(model, grammar)
    keepsake = state.keepsake(body, answer_id, model, [turns] * body.choices, caller)
    samplings = [_sampling(model, prompt, body, keepsake, choice) for choice in range(body.choices)]

    def start(sampling: SamplingParams) -> Start:
        return lambda on_event: state.service.start(
            model,
            prompt,
            sampling,
            on_event,
            keep_to_choices=True,
            share=caller.share,
            priority=body.engine_priority,
            grammar=grammar,
        )

    tokens_max = sum(sampling.max_tokens for sampling in samplings)
    order = Order(answer_id, model.root, len(prompt), tokens_max, body.choices)
    starts = [start(sampling) for sampling in samplings]
    return Prepared(model, starts, await state.open_bill(order, caller), keepsake)


def _read(service: AnyService, body: ChatBody, turns: Turns) -> tuple[ServedModel, tuple[int, ...], Grammar | None]:
    """All that has to happen on a worker thread, in one visit: going there and back costs more than most of it."""
    model = service.resolve(body.model)
    check_chars(sum(len(turn["content"]) for turn in turns), model.context_max)
    return model, service.render(model, turns), body.grammar


def _sampling(
    model: ServedModel, prompt: tuple[int, ...], body: ChatBody, keepsake: Keepsake, choice: int
) -> SamplingParams:
    return sampling_params(
        body,
        choice=choice,
        tokens_max=body.answer_tokens_max,
        room=model.context_max - len(prompt),
        logprobs=keepsake.logprobs_top if body.logprobs_top is None else body.logprobs_top,
    )
