"""What an eval's criteria make of one answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chiliad.embeddings import Embedder
from chiliad.errors import EvalError
from chiliad.evals.item_template import fill
from chiliad.metrics.similarity import SIMILARITIES
from chiliad.server.inside import Inside
from chiliad.server.wire.criteria import Criterion, LabelModel, ScoreModel, StringCheck, TextSimilarity, Turn

CHECKS: Mapping[str, Callable[[str, str], bool]] = {
    "eq": lambda found, wanted: found == wanted,
    "ne": lambda found, wanted: found != wanted,
    "like": lambda found, wanted: wanted in found,
    "ilike": lambda found, wanted: wanted.casefold() in found.casefold(),
}


@dataclass(frozen=True)
class Grade:
    """sample: what a judging model was asked and said; usage: as its answer told it"""

    name: str
    type: str
    passed: bool
    score: float
    sample: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


class Grader:
    """Grades answers by rule, by likeness, or by asking a model through `inside`. `embedder` is opened when it is needed."""

    def __init__(self, inside: Inside, embedder: Callable[[], Embedder]) -> None:
        self._inside = inside
        self._embedder = embedder

    async def grade(self, criterion: Criterion, values: Mapping[str, Any]) -> Grade:
        """Raises EvalError when a place has no value or a model does not answer."""
        match criterion:
            case StringCheck():
                found, wanted = fill(criterion.input, values), fill(criterion.reference, values)
                passed = CHECKS[criterion.operation](found, wanted)
                return Grade(criterion.name, criterion.type, passed, float(passed))
            case TextSimilarity():
                score = self._similarity(criterion, fill(criterion.input, values), fill(criterion.reference, values))
                return Grade(criterion.name, criterion.type, score >= criterion.pass_threshold, score)
            case LabelModel():
                return await self._label(criterion, values)
            case ScoreModel():
                return await self._score(criterion, values)

    def _similarity(self, criterion: TextSimilarity, found: str, wanted: str) -> float:
        if criterion.evaluation_metric != "cosine":
            return SIMILARITIES[criterion.evaluation_metric](found, wanted)
        one, other = self._embedder().embed([found, wanted])
        return float(one @ other)

    async def _label(self, criterion: LabelModel, values: Mapping[str, Any]) -> Grade:
        asked = {"messages": messages(criterion.input, values), "guided_choice": criterion.labels}
        sample = await self._judged(criterion.model, asked)
        passed = sample["output"][0]["content"] in criterion.passing_labels
        return Grade(criterion.name, criterion.type, passed, float(passed), sample)

    async def _score(self, criterion: ScoreModel, values: Mapping[str, Any]) -> Grade:
        low, high = criterion.range
        number = {"type": "number", "minimum": low, "maximum": high}
        schema = {
            "type": "object",
            "properties": {"result": number},
            "required": ["result"],
            "additionalProperties": False,
        }
        given = criterion.sampling_params.model_dump(exclude_none=True) if criterion.sampling_params else {}
        tokens_max = given.pop("max_completions_tokens", None)
        asked = {
            "messages": messages(criterion.input, values),
            "guided_json": schema,
            "max_tokens": tokens_max,
            **given,
        }
        sample = await self._judged(criterion.model, asked)
        try:
            score = float(json.loads(sample["output"][0]["content"])["result"])
        except (ValueError, KeyError, TypeError):
            raise EvalError(
                f"{criterion.model} gave no score: its answer was cut short.", fix="Give it more tokens."
            ) from None
        return Grade(criterion.name, criterion.type, score >= criterion.threshold, score, sample)

    async def _judged(self, model: str, asked: dict[str, Any]) -> dict[str, Any]:
        return await sampled(self._inside, {"model": model, **asked})


def messages(turns: Sequence[Turn], values: Mapping[str, Any]) -> list[dict[str, str]]:
    """Raises EvalError for a place without a value."""
    return [{"role": turn.role, "content": fill(turn.template, values)} for turn in turns]


async def sampled(inside: Inside, body: dict[str, Any]) -> dict[str, Any]:
    """A chat completion as evals show it. Raises EvalError with what the route says is wrong."""
    status, answer = await inside.post("/v1/chat/completions", body)
    if status != 200:
        raise EvalError(answer["error"]["message"], fix="")
    choice, usage = answer["choices"][0], answer["usage"]
    message = choice["message"]
    return {
        "model": answer["model"],
        "input": body["messages"],
        "output": [{"role": "assistant", "content": message["content"]}],
        "output_text": message["content"] or "",
        **_parsed(body, message["content"]),
        "output_tools": message.get("tool_calls", []),
        "finish_reason": choice["finish_reason"],
        "usage": {
            "prompt_tokens": usage["prompt_tokens"],
            "completion_tokens": usage["completion_tokens"],
            "total_tokens": usage["total_tokens"],
            "cached_tokens": usage["prompt_tokens_details"]["cached_tokens"],
        },
        "max_completion_tokens": body.get("max_completion_tokens") or body.get("max_tokens"),
        "temperature": body.get("temperature", 0.0),
        "top_p": body.get("top_p", 1.0),
        "seed": body.get("seed"),
        "error": None,
    }


def _parsed(body: Mapping[str, Any], text: str | None) -> dict[str, Any]:
    """`output_json`, where the answer was asked to be JSON and was not cut short."""
    if "response_format" not in body:
        return {}
    try:
        return {"output_json": json.loads(text or "")}
    except ValueError:
        return {}
