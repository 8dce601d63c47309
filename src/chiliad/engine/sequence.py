"""The state of one request while the engine works on it."""

from __future__ import annotations

from random import Random
from typing import Protocol

from chiliad.engine.choices import ChoicePath, choice_tree
from chiliad.engine.grammar import Grammars, TokenMask
from chiliad.engine.request import Completion, Delta, FinishReason, OnEvent, Request, Timing, TokenLogprob
from chiliad.engine.runner import Chunk, Logits, PreparedAdapter, SequenceId
from chiliad.engine.sampler import Draw, Drawn
from chiliad.engine.text import TextStream
from chiliad.errors import BadRequest


class Constraint(Protocol):
    """Which tokens an answer may go on with. Follows one answer from its beginning."""

    @property
    def allowed(self) -> tuple[int, ...] | TokenMask:
        """What may come next."""
        ...

    @property
    def forced(self) -> int | None:
        """The token that has to come next, if it is known without computing."""
        ...

    @property
    def complete(self) -> bool:
        """Nothing may follow."""
        ...

    def take(self, token: int) -> None:
        """Go on with an allowed token."""
        ...


def constraint_of(request: Request, grammars: Grammars) -> Constraint | None:
    """What the request asks its answer to keep to. Raises BadRequest for a grammar that cannot be understood."""
    if request.grammar is not None:
        return grammars.start(request.grammar)
    return None if request.choices is None else ChoicePath(choice_tree(request.choices))


class Sequence:
    """Tokens of a prompt and its answer, of which the first `done` have been run.

    What is not done yet is the next chunk: the whole prompt at first, then usually the one token chosen last.
    """

    def __init__(
        self,
        id_: SequenceId,
        request: Request,
        constraint: Constraint | None,
        text: TextStream,
        on_event: OnEvent,
        now: float,
    ) -> None:
        self.id = id_
        self.request = request
        self.on_event = on_event
        self.adapter: PreparedAdapter | None = None
        self.acts_from = 0
        self.done = 0
        self._cached: int | None = None
        self._tokens = list(request.prompt)
        self._logprobs: list[TokenLogprob] = []
        self._prompt_logprobs: list[TokenLogprob | None] = [None]
        self._draw = Random(request.sampling.seed)
        self._constraint = constraint
        self._text = text
        self.submitted_s = now
        self._started_s: float | None = None
        self._first_token_s = now

    @property
    def tokens(self) -> tuple[int, ...]:
        """Prompt and answer so far."""
        return tuple(self._tokens)

    @property
    def length(self) -> int:
        """How many they are."""
        return len(self._tokens)

    @property
    def patience(self) -> tuple[int, float, int]:
        """Who gives way when memory is short: the highest. Lower priority before higher, then the youngest."""
        return -self.request.priority, self.submitted_s, self.id

    @property
    def pending(self) -> int:
        """Tokens that have not been run."""
        return len(self._tokens) - self.done

    @property
    def produced(self) -> int:
        """Tokens of the answer so far."""
        return len(self._tokens) - len(self.request.prompt)

    @property
    def scores_prompt(self) -> bool:
        """Whether log-probabilities of the prompt are still to be computed."""
        return self.request.prompt_logprobs is not None and len(self._prompt_logprobs) < len(self.request.prompt)

    def take(self, adapter: PreparedAdapter | None) -> None:
        """Have an adapter, which acts from its invocation's last occurrence in the prompt on.

        Raises BadRequest for a prompt that does not invoke it.
        """
        self.acts_from = _acts_from(adapter.invocation, self.request.prompt) if adapter else 0
        self.adapter = adapter

    def start(self, known: int, now: float) -> None:
        """Admit to the batch; the first `known` tokens are there from earlier ones and need not be run."""
        self.done = known
        if self._started_s is None:
            self._started_s, self._cached = now, known

    def give_way(self) -> None:
        """Leave the batch. All tokens have to be run again, and the prompt's log-probabilities unless they are complete."""
        self.adapter, self.done = None, 0
        if self.scores_prompt:
            self._prompt_logprobs = [None]

    def chunk(self, tokens: int) -> Chunk:
        """The next `tokens` pending tokens as work for a runner, fewer where the adapter begins to act."""
        end, adapter = self.done + min(tokens, self.pending), self.adapter
        if self.done < self.acts_from:
            end, adapter = min(end, self.acts_from), None
        logits = Logits.LAST if end == len(self._tokens) else Logits.NONE
        if self.scores_prompt:
            logits = Logits.ALL
        return Chunk(self.id, tuple(self._tokens[self.done : end]), self.done, adapter, logits)

    def draw(self) -> Draw:
        """How the next token is to be chosen."""
        return Draw(self.request.sampling, self._draw, self._constraint.allowed if self._constraint else None)

    def prompt_targets(self, chunk: Chunk) -> list[int]:
        """The prompt tokens whose log-probabilities a chunk with all its logits gives."""
        return list(self.request.prompt[chunk.start + 1 : chunk.end + 1])

    def add_prompt_logprobs(self, logprobs: list[TokenLogprob]) -> None:
        self._prompt_logprobs += logprobs

    def advance(self, drawn: Drawn, now: float) -> tuple[Delta, FinishReason | None]:
        """Take the chosen token, and those that the constraint leaves no choice about."""
        if not self.produced:
            self._first_token_s = now
        first, text = len(self._tokens), ""
        token: int | None = drawn.token
        finish = None if self.request.sampling.max_tokens else FinishReason.LENGTH
        while token is not None and finish is None:
            self._tokens.append(token)
            text += self._show(token)
            finish = self._finish(token)
            token = self._forced()
        logprobs = (drawn.logprob,) if drawn.logprob and len(self._tokens) > first else ()
        self._logprobs += logprobs
        if finish is not None:
            text += self._text.flush()
        return Delta(text, tuple(self._tokens[first:]), logprobs), finish

    def completion(self, finish: FinishReason, now: float) -> Completion:
        """The whole answer, once it has ended."""
        submitted = self.submitted_s
        return Completion(
            request=self.request.id,
            text=self._text.text,
            tokens=self._answer,
            finish_reason=finish,
            logprobs=None if self.request.sampling.logprobs is None else tuple(self._logprobs),
            prompt_logprobs=None if self.request.prompt_logprobs is None else tuple(self._prompt_logprobs),
            prompt_tokens=len(self.request.prompt),
            cached_tokens=self._cached or 0,
            timing=Timing((self._started_s or submitted) - submitted, self._first_token_s - submitted, now - submitted),
        )

    @property
    def _answer(self) -> tuple[int, ...]:
        return tuple(self._tokens[len(self.request.prompt) :])

    def _show(self, token: int) -> str:
        return "" if token in self.request.eos_ids else self._text.push(token)

    def _finish(self, token: int) -> FinishReason | None:
        """Follow the constraint, if there is one, and say whether the answer ends with this token."""
        if self._constraint is not None:
            self._constraint.take(token)
        complete = self._constraint is not None and self._constraint.complete
        if complete or token in self.request.eos_ids or self._text.stopped:
            return FinishReason.STOP
        return FinishReason.LENGTH if self.produced >= self.request.sampling.max_tokens else None

    def _forced(self) -> int | None:
        """A token that follows without being computed; its log-probability, if wanted, has to be."""
        wanted = self.request.sampling.logprobs is not None
        return None if self._constraint is None or wanted else self._constraint.forced


def _acts_from(invocation: tuple[int, ...], prompt: tuple[int, ...]) -> int:
    """Position of the last occurrence; 0 without an invocation."""
    if not invocation:
        return 0
    for start in range(len(prompt) - len(invocation), -1, -1):
        if prompt[start : start + len(invocation)] == invocation:
            return start
    raise BadRequest(
        f"The prompt does not have the tokens {list(invocation)}, with which this activated LoRA is invoked.",
        fix="Write what invokes it where it has to begin, or leave it to the expert's own template.",
    )
