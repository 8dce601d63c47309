"""From logits to tokens: greedy or random, within a closed set or not, with log-probabilities of the model's own."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from chiliad.engine.grammar import TokenMask
from chiliad.engine.request import SamplingParams, TokenLogprob
from chiliad.kernels import argmax

NUCLEUS_FIRST_TRY = 256


@dataclass(frozen=True)
class Draw:
    """How one row's token is to be chosen."""

    sampling: SamplingParams
    random: Random
    """the request's own; one number is taken from it for each random token"""
    allowed: tuple[int, ...] | TokenMask | None
    """the only tokens that may be chosen: a few, or any number of them"""


@dataclass(frozen=True)
class Drawn:
    token: int
    logprob: TokenLogprob | None


def sample(logits: Tensor, draws: Many[Draw]) -> list[Drawn | None]:
    """Choose a token for each row of `logits` [rows, vocab]; None for a row that holds a NaN or an infinity."""
    if not draws:
        return []
    best = argmax(logits).unsqueeze(-1)
    finite = logits.gather(-1, best).isfinite().flatten().tolist()
    tokens = [
        _choose(row, draw, greedy) if ok else None
        for row, draw, greedy, ok in zip(logits, draws, best.flatten().tolist(), finite, strict=True)
    ]
    reported = _reports(logits, draws, tokens)
    return [None if token is None else Drawn(token, reported.get(i)) for i, token in enumerate(tokens)]


def score(logits: Tensor, tokens: Many[int], top: int) -> list[TokenLogprob]:
    """Log-probability of each of `tokens` under its row of `logits` [tokens, vocab], beside the `top` likeliest ones."""
    if not tokens:
        return []
    logprobs = logits.log_softmax(-1)
    chosen = logprobs.gather(-1, torch.tensor(tokens).unsqueeze(-1)).flatten().tolist()
    values, ids = logprobs.topk(top)
    return [
        TokenLogprob(token, logprob, tuple(zip(row_ids, row_values, strict=True)))
        for token, logprob, row_ids, row_values in zip(tokens, chosen, ids.tolist(), values.tolist(), strict=True)
    ]


def _reports(logits: Tensor, draws: Many[Draw], tokens: Many[int | None]) -> dict[int, TokenLogprob]:
    """Log-probabilities for the rows that ask for them, by row."""
    wanted: dict[int, int] = {}
    for row, (draw, token) in enumerate(zip(draws, tokens, strict=True)):
        if draw.sampling.logprobs is not None and token is not None:
            wanted[row] = token
    if not wanted:
        return {}
    rows = list(wanted)
    top = max(draws[row].sampling.logprobs or 0 for row in rows)
    scored = score(logits[rows], list(wanted.values()), top)
    return {
        row: TokenLogprob(one.token, one.logprob, one.top[: draws[row].sampling.logprobs])
        for row, one in zip(rows, scored, strict=True)
    }


def _choose(row: Tensor, draw: Draw, greedy: int) -> int:
    if isinstance(draw.allowed, tuple):
        return draw.allowed[_pick(row[list(draw.allowed)], draw)]
    if draw.allowed is not None and (greedy not in draw.allowed or not draw.sampling.greedy):
        return _pick(row.masked_fill(draw.allowed.refused(len(row)), -torch.inf), draw)
    return greedy if draw.sampling.greedy else _pick(row, draw)


def _pick(logits: Tensor, draw: Draw) -> int:
    """Index into `logits` [candidates]: the largest, or by inverting the cumulative distribution at one random number."""
    if draw.sampling.greedy:
        return int(logits.argmax())
    probabilities = (logits / draw.sampling.temperature).softmax(-1)
    kept, order = _nucleus(probabilities, draw.sampling)
    cumulative = kept.cumsum(-1, dtype=torch.float64)
    at = torch.searchsorted(cumulative, draw.random.random() * cumulative[-1], right=True)
    index = int(at.clamp(max=len(kept) - 1))
    return index if order is None else int(order[index])


def _nucleus(probabilities: Tensor, sampling: SamplingParams) -> tuple[Tensor, Tensor | None]:
    """Keep the `top_k` likeliest, and of those the fewest that reach `top_p` of their sum (Holtzman et al. 2020).

    Returns what is kept, likeliest first, with its indices; None for the indices when everything is kept in place.
    """
    limit = min(sampling.top_k or len(probabilities), len(probabilities))
    if limit == len(probabilities) and sampling.top_p == 1:
        return probabilities, None
    if sampling.top_k:
        kept, order = probabilities.topk(limit)
    else:
        kept, order = _likeliest(probabilities, sampling.top_p)
    cumulative = kept.cumsum(-1)
    total = cumulative[-1] if sampling.top_k else probabilities.sum()
    count = int(torch.searchsorted(cumulative, sampling.top_p * total)) + 1
    return kept[:count], order[:count]


def _likeliest(probabilities: Tensor, mass: float) -> tuple[Tensor, Tensor]:
    """Enough of the likeliest to hold `mass`; sorting the whole vocabulary is rarely needed."""
    size = NUCLEUS_FIRST_TRY
    while size < len(probabilities):
        kept, order = probabilities.topk(size)
        if kept.sum() >= mass:
            return kept, order
        size *= 8
    kept, order = probabilities.sort(descending=True)
    return kept, order
