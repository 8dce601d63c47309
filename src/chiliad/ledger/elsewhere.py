"""What the same answers would have taken elsewhere, in money and time: at hosted models, and from a person.

Prices of hosted models are the public ones that `genai-prices` carries; how long they take, and what a person takes, are the
workspace's own figures.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from chiliad.config import ElsewhereSettings
from chiliad.store import Sum

HOSTED = ("gpt-5-nano", "gpt-5-mini", "claude-haiku-4-5", "gemini-2.5-flash")
"""small ones, which is what narrow work would be given to"""
HOUR_S = 3600


@dataclass(frozen=True)
class HostedCost:
    """cost: of all answers, in US dollars; None for a model whose price is not known; seconds: of waiting for one answer.

    No share of right answers is known of them: who compares takes each of theirs for right, which favours them.
    """

    model: str
    cost: float | None
    cost_per_answer: float | None
    seconds_per_answer: float | None


@dataclass(frozen=True)
class PersonCost:
    """In the report's currency; each of the answers is taken for right, too. told: the figures it comes from"""

    cost: float
    cost_per_answer: float
    seconds_per_answer: float
    told: str


def hosted_cost(model: str, total: Sum, settings: ElsewhereSettings) -> HostedCost:
    """Counted in tokens of our own tokenizer: theirs cut the same text into a few more or fewer. No request leaves."""
    from genai_prices import Usage, calc_price

    usage = Usage(input_tokens=total.prompt_tokens, output_tokens=total.answer_tokens)
    cost: float | None = None
    with suppress(LookupError):
        cost = float(calc_price(usage, model_ref=model).total_price)
    if not total.answers:
        return HostedCost(model, cost, None, None)
    seconds = settings.hosted_wait_seconds + total.answer_tokens / total.answers / settings.hosted_tokens_per_second
    return HostedCost(model, cost, None if cost is None else cost / total.answers, seconds)


def person_cost(total: Sum, settings: ElsewhereSettings) -> PersonCost:
    each = settings.person_seconds / HOUR_S * settings.person_per_hour
    told = f"{settings.person_seconds:g} s for an answer at {settings.person_per_hour:g} per hour"
    return PersonCost(total.answers * each, each, settings.person_seconds, told)
