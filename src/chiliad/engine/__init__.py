"""The engine: requests for many experts in, tokens out, all in shared steps on one thread."""

from chiliad.engine.engine import Engine, EngineMemory, Handle
from chiliad.engine.grammar import ANY_JSON_OBJECT, Grammar, GrammarKind, json_rule
from chiliad.engine.request import (
    Aborted,
    AbortReason,
    Completion,
    Delta,
    Event,
    Failed,
    Finished,
    FinishReason,
    OnEvent,
    Request,
    RequestId,
    SamplingParams,
    Timing,
    TokenLogprob,
)

__all__ = [
    "ANY_JSON_OBJECT",
    "AbortReason",
    "Aborted",
    "Completion",
    "Delta",
    "Engine",
    "EngineMemory",
    "Event",
    "Failed",
    "FinishReason",
    "Finished",
    "Grammar",
    "GrammarKind",
    "Handle",
    "OnEvent",
    "Request",
    "RequestId",
    "SamplingParams",
    "Timing",
    "TokenLogprob",
    "json_rule",
]
