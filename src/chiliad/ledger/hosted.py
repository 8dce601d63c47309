"""What the same tokens would have cost at hosted models, by their public prices as `genai-prices` carries them."""

from __future__ import annotations

from dataclasses import dataclass

HOSTED = ("gpt-5-nano", "gpt-5-mini", "claude-haiku-4-5", "gemini-2.5-flash")
"""small ones, which is what narrow work would be given to"""


@dataclass(frozen=True)
class HostedCost:
    """cost: in US dollars; None for a model whose price is not known"""

    model: str
    cost: float | None


def hosted_cost(model: str, *, prompt_tokens: int, answer_tokens: int) -> HostedCost:
    """Counted in tokens of our own tokenizer: theirs cut the same text into a few more or fewer. No request leaves."""
    from genai_prices import Usage, calc_price

    usage = Usage(input_tokens=prompt_tokens, output_tokens=answer_tokens)
    try:
        return HostedCost(model, float(calc_price(usage, model_ref=model).total_price))
    except LookupError:
        return HostedCost(model, None)
