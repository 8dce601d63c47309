"""How far a merged model's own predictions are from those of the expert it was made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from chiliad.config import Settings
from chiliad.engine import Completion, SamplingParams
from chiliad.workspace.expert import Expert
from chiliad.workspace.served_base import ServedBase

PROBE = (
    "Good morning. My order 4711 of 3 May has not arrived, although the parcel service says that it was delivered. "
    "Could you look into it, or send the two blue cups again? Terima kasih, Rina."
)


def logprob_difference(expert: Expert, folder: Path, settings: Settings) -> float:
    """Let the expert and the merged model in `folder` read one probe text; the largest difference between the
    log-probabilities that they give to its tokens."""
    merged = ServedBase(replace(expert.served.base, path=folder), settings)
    try:
        request = replace(expert.request(PROBE, SamplingParams(max_tokens=1)), choices=None, prompt_logprobs=0)
        served, alone = (
            base.engine.generate([replace(request, adapter=adapter)])[0]
            for base, adapter in ((expert.served, request.adapter), (merged, None))
        )
    finally:
        merged.close()
    return max(abs(a - b) for a, b in zip(_logprobs(served), _logprobs(alone), strict=True))


def _logprobs(completion: Completion) -> list[float]:
    assert completion.prompt_logprobs is not None, "they were asked for"
    return [token.logprob for token in completion.prompt_logprobs if token is not None]
