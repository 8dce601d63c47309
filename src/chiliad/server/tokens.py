"""Token ids as clients give and get them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chiliad.base import Tokenizer
from chiliad.engine import TokenLogprob
from chiliad.server.errors import HttpError
from chiliad.server.wire.chat import ChatLogprobs, ScoredToken, TokenScore
from chiliad.server.wire.completions import CompletionLogprobs

LOGPROB_MIN = -9999.0
"""stands for minus infinity, which JSON does not have"""

TOKEN_CHARS_MAX = 256
"""twice what the longest token of any vocabulary here has, a run of blanks"""


def check_chars(chars: int, context_max: int) -> None:
    """Raises HttpError (400), in the words of PromptTooLong, for a prompt that no tokenizer makes short enough.

    Cutting ten megabytes into tokens takes some ten seconds, only to find that they are too many.
    """
    if chars > context_max * TOKEN_CHARS_MAX:
        cause = (
            f"This model's maximum context length is {context_max} tokens; the prompt of {chars} characters has more."
        )
        raise HttpError(400, "context_length_exceeded", cause, fix="Shorten the input.")


def check_ids(ids: Iterable[int], tokenizer: Tokenizer, *, param: str) -> None:
    """Raises HttpError (400) for an id that the vocabulary does not have."""
    too_large = next((token for token in ids if token >= tokenizer.vocab_size), None)
    if too_large is not None:
        cause = f"There is no token {too_large}: the vocabulary has {tokenizer.vocab_size} tokens."
        raise HttpError.bad_value(param, cause, fix="Tokenize with this model's tokenizer (POST /tokenize).")


def chat_logprobs(scores: Sequence[TokenLogprob], tokenizer: Tokenizer) -> ChatLogprobs:
    """The token that ends a turn is not part of the message and left out, so that the tokens joined are the message."""
    return ChatLogprobs(
        content=[_scored(score, tokenizer) for score in scores if score.token not in tokenizer.eos_ids], refusal=None
    )


def _scored(score: TokenLogprob, tokenizer: Tokenizer) -> ScoredToken:
    chosen = _score(score.token, score.logprob, tokenizer)
    top = [_score(token, logprob, tokenizer) for token, logprob in score.top]
    return ScoredToken(**chosen, top_logprobs=top)


def _score(token: int, logprob: float, tokenizer: Tokenizer) -> TokenScore:
    text = _text(token, tokenizer)
    whole = "\N{REPLACEMENT CHARACTER}" not in text
    return TokenScore(token=text, logprob=_finite(logprob), bytes=list(text.encode()) if whole else None)


def completion_logprobs(
    tokens: Sequence[int], scores: Sequence[TokenLogprob | None], tokenizer: Tokenizer, *, offset: int
) -> CompletionLogprobs:
    """`scores` has one entry for each of `tokens`; `offset` is where their text begins in the whole text."""
    texts = [_text(token, tokenizer) for token in tokens]
    offsets = [offset]
    for text in texts:
        offsets.append(offsets[-1] + len(text))
    return CompletionLogprobs(
        tokens=texts,
        token_logprobs=[None if score is None else _finite(score.logprob) for score in scores],
        top_logprobs=[None if score is None else _top(score, tokenizer) for score in scores],
        text_offset=offsets[:-1],
    )


def _top(score: TokenLogprob, tokenizer: Tokenizer) -> dict[str, float]:
    """The likeliest tokens, and the chosen one even if it is not among them.

    Tokens that are parts of a character share one spelling; it gets the likeliest one's.
    """
    rising = ((score.token, score.logprob), *reversed(score.top))
    return {_text(token, tokenizer): _finite(logprob) for token, logprob in rising}


def _text(token: int, tokenizer: Tokenizer) -> str:
    return tokenizer.decode([token], skip_special=False)


def _finite(logprob: float) -> float:
    return max(logprob, LOGPROB_MIN)
