"""The interface between the engine and the code that computes."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass
from enum import Enum
from typing import NewType, Protocol

from torch import Tensor

from chiliad.adapters import Adapter, AdapterHash

SequenceId = NewType("SequenceId", int)
"""the engine's own number of a request: never used twice, unlike a client's request id"""


class Logits(Enum):
    """For which of a chunk's tokens the distribution over the next one is wanted."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


class PreparedAdapter(Protocol):
    """An adapter as a runner computes with it."""

    @property
    def hash(self) -> AdapterHash: ...

    @property
    def bytes(self) -> int:
        """Memory that it takes; a basis that it shares with others is not its own."""
        ...

    @property
    def invocation(self) -> tuple[int, ...]:
        """Tokens from whose last occurrence in a prompt on it acts; none for one that always does."""
        ...


@dataclass(frozen=True)
class Chunk:
    """The next tokens of one sequence: a piece of its prompt, or what was chosen in the last step."""

    sequence: SequenceId
    tokens: tuple[int, ...]
    start: int
    """position of the first token: how many of the sequence's tokens have been run before"""
    adapter: PreparedAdapter | None
    """what `Runner.prepare` has returned"""
    logits: Logits

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)

    @property
    def rows(self) -> int:
        """Rows of logits that this chunk asks for."""
        return {Logits.NONE: 0, Logits.LAST: 1, Logits.ALL: len(self.tokens)}[self.logits]


class Runner(Protocol):
    """Runs chunks of sequences, with different adapters, in one step, and remembers each sequence's keys and values.

    A sequence exists from `begin`, `reserve` or its first chunk until `release`; its chunks come in order, without gaps,
    under one adapter, or under none up to a token and then under one. Adapters are told apart by their hash. Called from
    one thread at a time, but for `prepare`.
    """

    @property
    def tokens_free(self) -> int:
        """Tokens that there is memory for, beside what sequences have."""
        ...

    @property
    def weight_bytes(self) -> int:
        """What its own copy of the base's matrices takes."""
        ...

    @property
    def kv_bytes(self) -> int:
        """Memory taken for keys and values, in use or not."""
        ...

    def prepare(self, adapter: Adapter) -> PreparedAdapter:
        """The adapter as chunks have to bring it. Raises BrokenAdapter when its tensors do not fit the model.

        From any thread, also while a step runs.
        """
        ...

    def begin(
        self, sequence: SequenceId, prompt: Many[int], adapter: PreparedAdapter | None, acts_from: int = 0
    ) -> int:
        """Start a sequence that may use what is known of other sequences' beginnings, and lend its own.

        acts_from: the position of the first token that runs under the adapter. Returns how many of the prompt's first tokens
        need not be run, fewer than all. Without this call all have to be.
        """
        ...

    def reserve(self, sequence: SequenceId, length: int) -> bool:
        """Have memory for the sequence's first `length` tokens. Returns False, and has changed nothing, if there is none."""
        ...

    def run(self, chunks: Many[Chunk]) -> Tensor:
        """Returns logits [rows, vocab] in float32 on the CPU, in the order of the chunks and of the tokens within them.

        They are valid until the next call. A chunk's numbers depend on the other chunks by rounding at most. When this
        raises, the sequences of `chunks` are in an unknown state and have to be released.
        """
        ...

    def release(self, sequence: SequenceId) -> None:
        """Forget a sequence. Does nothing for one that does not exist."""
        ...
