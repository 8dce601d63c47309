"""How many tokens an answer took."""

from __future__ import annotations

from typing_extensions import TypedDict


class PromptTokensDetails(TypedDict):
    cached_tokens: int


class Usage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    cost: float
    """in the currency of the workspace's own prices, USD unless it says otherwise"""


def usage(prompt_tokens: int, completion_tokens: int, cached_tokens: int, cost: float) -> Usage:
    """cached_tokens: of the prompts', those whose keys and values were known from earlier ones."""
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
        prompt_tokens_details={"cached_tokens": cached_tokens},
        cost=round(cost, 12),
    )
