"""From a body's sampling fields to the engine's."""

from __future__ import annotations

from chiliad.engine import SamplingParams
from chiliad.server.wire.request import SEED_MAX, GenerationBody


def sampling_params(
    body: GenerationBody, *, choice: int, tokens_max: int | None, room: int, logprobs: int | None
) -> SamplingParams:
    """The sampling of the `choice`-th answer to one prompt.

    `tokens_max` is the client's upper bound and `room` what the prompt leaves of the context: the lower one counts. A
    prompt that leaves nothing keeps one token, so that the engine refuses it with its own words. The answers of one
    request get seeds of their own, or they would all be the same.
    """
    wanted = room if tokens_max is None else min(tokens_max, room)
    return SamplingParams(
        max_tokens=max(wanted, 0 if tokens_max == 0 else 1),
        temperature=body.temperature or 0.0,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=max(body.top_k or 0, 0),
        seed=None if body.seed is None else (body.seed + choice) % (SEED_MAX + 1),
        stop=body.stops,
        logprobs=logprobs,
    )
