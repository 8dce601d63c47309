"""A key's limits over HTTP: OpenAI's headers, and its 429."""

from __future__ import annotations

from chiliad.server.errors import HttpError
from chiliad.store import Limit, Refusal, Standing


def limit_headers(standing: Standing) -> dict[str, str]:
    """What is allowed in a minute, what is left of it, and when it begins anew; nothing for what is not limited."""
    limits = standing.limits
    counted = (
        ("requests", limits.requests_per_minute, standing.requests_left),
        ("tokens", limits.tokens_per_minute, standing.tokens_left),
    )
    headers: dict[str, str] = {}
    for name, allowed, left in counted:
        if allowed is not None:
            headers[f"x-ratelimit-limit-{name}"] = str(allowed)
            headers[f"x-ratelimit-remaining-{name}"] = str(left)
            headers[f"x-ratelimit-reset-{name}"] = f"{standing.reset_s}s"
    return headers


def too_much(refusal: Refusal) -> HttpError:
    """OpenAI's clients try again by themselves after `Retry-After`, unless told that it would not help soon."""
    headers = {**limit_headers(refusal.standing), "Retry-After": str(refusal.wait_s)}
    if refusal.hopeless or refusal.limit is Limit.SPEND:
        headers["x-should-retry"] = "false"
    code = "insufficient_quota" if refusal.limit is Limit.SPEND else "rate_limit_exceeded"
    return HttpError(429, code, _cause(refusal), fix=_fix(refusal), headers=headers)


def _cause(refusal: Refusal) -> str:
    match refusal.limit:
        case Limit.REQUESTS:
            return f"This key may send {refusal.standing.limits.requests_per_minute} requests a minute, and has."
        case Limit.TOKENS:
            allowed = refusal.standing.limits.tokens_per_minute
            left, asked = round(refusal.left), round(refusal.asked)
            return f"This key has {left} of {allowed} tokens left in this minute, and the request may take {asked}."
        case Limit.SPEND:
            allowed_spend = refusal.standing.limits.spend_per_month
            return (
                f"This key has {refusal.left:.6f} of {allowed_spend:g} left in this month, and the request may cost "
                f"{refusal.asked:.6f}."
            )


def _fix(refusal: Refusal) -> str:
    smaller = "" if refusal.limit is Limit.REQUESTS else "Send less or set a smaller max_tokens"
    if refusal.hopeless:
        return f"{smaller or 'Ask an admin for a key with a higher limit'}; waiting does not help."
    wait = "Wait for the next month" if refusal.limit is Limit.SPEND else f"Wait {refusal.wait_s} seconds"
    return f"{smaller}, or {wait.lower()}." if smaller else f"{wait}."
