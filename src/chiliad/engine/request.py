"""What goes into the engine and what comes out: requests, events, completions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from chiliad.adapters import AdapterHash
from chiliad.engine.choices import choice_tree
from chiliad.engine.grammar import Grammar
from chiliad.errors import BadRequest, ChiliadError, PromptTooLong

RequestId = NewType("RequestId", str)
LOGPROBS_MAX = 20
GREEDY_BELOW = 1e-5
"""temperatures at which only the likeliest token is ever drawn, and by which no logit can be divided much further"""


@dataclass(frozen=True)
class SamplingParams:
    """How the next token is chosen. Temperature 0, or nearly, is greedy. Raises BadRequest for a value outside its range."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    """0: no limit"""
    seed: int | None = None
    """the same request with the same seed gives the same tokens, whatever else is in the batch"""
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    """how many of the likeliest tokens to report beside the chosen one; 0: the chosen one only; None: nothing"""

    def __post_init__(self) -> None:
        _within("max_tokens", self.max_tokens, self.max_tokens >= 0, "0 or more")
        _within("temperature", self.temperature, 0 <= self.temperature <= 100, "between 0 and 100")
        _within("top_p", self.top_p, 0 < self.top_p <= 1, "above 0 and at most 1")
        _within("top_k", self.top_k, self.top_k >= 0, "0 (no limit) or more")
        _within("stop", self.stop, all(self.stop), "texts of at least one character")
        logprobs_fit = self.logprobs is None or 0 <= self.logprobs <= LOGPROBS_MAX
        _within("logprobs", self.logprobs, logprobs_fit, f"between 0 and {LOGPROBS_MAX}")

    @property
    def greedy(self) -> bool:
        return self.temperature < GREEDY_BELOW


@dataclass(frozen=True)
class Request:
    id: RequestId
    prompt: tuple[int, ...]
    """token ids"""
    sampling: SamplingParams = field(default_factory=SamplingParams)
    adapter: AdapterHash | None = None
    """None: the base alone"""
    choices: tuple[tuple[int, ...], ...] | None = None
    """the only answers allowed, as token ids; end each with an end-of-turn token where one begins another"""
    grammar: Grammar | None = None
    """what the answer has to look like; not together with `choices`"""
    eos_ids: frozenset[int] = frozenset()
    """tokens that end the answer"""
    prompt_logprobs: int | None = None
    """report the prompt's own log-probabilities, with so many of the likeliest tokens at each place"""
    share: str = ""
    """whose request it is: those of different shares take turns"""
    priority: int = 0
    """higher comes first; waiting makes up for it. The one of the lowest gives way when memory is short"""
    deadline_s: float | None = None
    """on the engine's clock (`time.monotonic`): fails with DeadlinePassed when it passes"""

    @property
    def answer_tokens_max(self) -> int:
        """How long the answer can become."""
        longest = self.sampling.max_tokens if self.choices is None else max(map(len, self.choices), default=0)
        return min(longest, self.sampling.max_tokens)


def check_request(request: Request, *, vocab_size: int, context_max: int) -> None:
    """Raises BadRequest for tokens that the base does not have and PromptTooLong for what the context cannot hold."""
    if not request.prompt:
        raise BadRequest("The prompt is empty.", fix="Give at least one token.")
    for tokens in (request.prompt, *(request.choices or ())):
        if not 0 <= min(tokens, default=0) <= max(tokens, default=0) < vocab_size:
            raise BadRequest(
                f"There is a token id outside 0 to {vocab_size - 1}.", fix="Use the tokenizer of the same base."
            )
    if request.choices is not None:
        choice_tree(request.choices)
        if request.grammar is not None:
            raise BadRequest("Both choices and a grammar are given.", fix="Give one of them.")
    limit = max(0, context_max - request.answer_tokens_max)
    if len(request.prompt) > limit:
        raise PromptTooLong(context_max=context_max, limit=limit, got=len(request.prompt))
    logprobs = request.prompt_logprobs
    _within("prompt_logprobs", logprobs, logprobs is None or 0 <= logprobs <= LOGPROBS_MAX, f"0 to {LOGPROBS_MAX}")


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"


class AbortReason(StrEnum):
    CANCELLED = "cancelled"
    CLOSED = "closed"


@dataclass(frozen=True)
class TokenLogprob:
    """Natural logarithms of the model's own distribution, before temperature, top_p, top_k and choices."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    """(token, logprob), likeliest first"""


@dataclass(frozen=True)
class Timing:
    queue_s: float
    """from submission to the first step"""
    first_token_s: float
    """from submission to the first token"""
    total_s: float


@dataclass(frozen=True)
class Completion:
    request: RequestId
    text: str
    """without the stop string and without special tokens"""
    tokens: tuple[int, ...]
    """every token produced, the one that ended the answer included"""
    finish_reason: FinishReason
    logprobs: tuple[TokenLogprob, ...] | None
    """one for each of `tokens`; None when not asked for"""
    prompt_logprobs: tuple[TokenLogprob | None, ...] | None
    """one for each prompt token, None for the first, which nothing precedes"""
    prompt_tokens: int
    cached_tokens: int
    """of the prompt's, those that did not have to be run"""
    timing: Timing


@dataclass(frozen=True)
class Delta:
    """What one step added. Text may lag behind tokens: half a character and a possible stop string are held back."""

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Finished:
    completion: Completion


@dataclass(frozen=True)
class Failed:
    error: ChiliadError


@dataclass(frozen=True)
class Aborted:
    reason: AbortReason


Event = Delta | Finished | Failed | Aborted
"""any number of Delta, then exactly one of Finished, Failed and Aborted; the last Delta comes before Finished"""

OnEvent = Callable[[Event], None]
"""called on the engine's thread: hand the event over and return"""


def _within(name: str, value: object, valid: bool, allowed: str) -> None:
    if not valid:
        raise BadRequest(f"{name} = {value!r} is out of range.", fix=f"Give {allowed}.")
