"""Which tokens of which sequences run in the next step."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Protocol

from chiliad.config import EngineSettings
from chiliad.engine.adapter_pool import AdapterPool
from chiliad.engine.fair_queue import FairQueue
from chiliad.engine.runner import Chunk, PreparedAdapter, SequenceId
from chiliad.engine.sequence import Sequence
from chiliad.errors import ChiliadError, EngineError

PREFILL_BESIDE_DECODE = 128
"""prompt tokens in a step that also decodes. Two prompts of 1,024 beside eight answers on two cores: pieces of 512 held the
answers up for 447 to 504 ms at a time, 256 for 252, 128 for 138 to 174 and 64 for 87; the prompts took 1.6 to 1.8, 1.7, 1.8
and 2.0 s"""

SCORED_TOKENS_MAX = 256
"""prompt tokens in a step whose logits are all wanted: each is a row as wide as the vocabulary"""

GROWTH_TOKENS = 32
"""what each running sequence may still grow by when another one is admitted: or it would be sent back at once"""


class Memory(Protocol):
    """What of a `Runner` decides who runs."""

    @property
    def tokens_free(self) -> int: ...
    def begin(
        self, sequence: SequenceId, prompt: Many[int], adapter: PreparedAdapter | None, acts_from: int = 0
    ) -> int: ...
    def reserve(self, sequence: SequenceId, length: int) -> bool: ...
    def release(self, sequence: SequenceId) -> None: ...


@dataclass(frozen=True)
class Plan:
    """The work of one step, and the sequences that could not be admitted."""

    work: tuple[tuple[Sequence, Chunk], ...]
    refused: tuple[tuple[Sequence, ChiliadError], ...]

    @property
    def chunks(self) -> list[Chunk]:
        return [chunk for _, chunk in self.work]


class Scheduler:
    """Waiting, then called up while an adapter is being read, then running; back to waiting when memory runs out.

    Decoding sequences run in every step; prompts fill what room is left, in the order of a fair queue. Whoever's turn it
    is waits for room if need be, and all others behind it: nobody overtakes a large request for ever. Only one whose
    adapter is still being read is overtaken, by those whose adapters are here.
    """

    def __init__(self, settings: EngineSettings, pool: AdapterPool, memory: Memory) -> None:
        self._settings = settings
        self._pool = pool
        self._memory = memory
        self._queue = FairQueue()
        self._called: dict[SequenceId, Sequence] = {}
        self._running: dict[SequenceId, Sequence] = {}

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def queues(self, share: str) -> bool:
        return share in self._queue

    @property
    def calling(self) -> bool:
        """Whether somebody has been called up and does not run yet."""
        return bool(self._called)

    def add(self, sequence: Sequence) -> None:
        self._queue.add(sequence)

    def plan(self, now: float) -> Plan:
        """Admit what fits and share out the step. From its call to `remove` a sequence holds its adapter."""
        refused = self._admit(now)
        self._make_room()
        work = self._share_out()
        for sequence, chunk in work:
            self._queue.charge(sequence, len(chunk.tokens))
        return Plan(tuple(work), tuple(refused))

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence that has ended, wherever it was, and give back what it held."""
        self._queue.leave(sequence)
        self._give_back(sequence)

    def _admit(self, now: float) -> list[tuple[Sequence, ChiliadError]]:
        """Move those whose adapters are here into the batch while there is room for their prompts; returns the hopeless."""
        refused: list[tuple[Sequence, ChiliadError]] = []
        room = self._prefill_room() - sum(s.pending for s in self._running.values() if s.pending > 1)
        candidates = self._candidates()
        while room > 0 and (sequence := next(candidates, None)) is not None:
            wanted = sequence.request.adapter
            try:
                sequence.take(None if wanted is None else self._pool.get(wanted))
            except ChiliadError as error:
                refused.append((sequence, error))
                continue
            if wanted is not None and sequence.adapter is None:
                continue
            if not self._start(sequence, now):
                if self._running:
                    self._send_back(sequence)
                else:
                    refused.append((sequence, _no_memory()))
                break
            room -= sequence.pending
        return refused

    def _candidates(self) -> Iterator[Sequence]:
        """Who may run next: those called up before, then those of the queue, as long as the batch has places."""
        yield from list(self._called.values())
        while len(self._called) + len(self._running) < self._settings.batch_max:
            sequence = self._queue.first()
            if sequence is None:
                return
            wanted = sequence.request.adapter
            if wanted is not None and not self._pool.has_room(wanted):
                return
            self._queue.take(sequence)
            self._called[sequence.id] = sequence
            if wanted is not None:
                self._pool.hold(wanted)
            yield sequence

    def _start(self, sequence: Sequence, now: float) -> bool:
        """Have one run, unless there is no memory for what it has and for what those that run will need next."""
        known = 0
        if not sequence.scores_prompt:
            known = self._memory.begin(sequence.id, sequence.tokens, sequence.adapter, sequence.acts_from)
        needed = sequence.length - known + GROWTH_TOKENS * len(self._running)
        if needed > self._memory.tokens_free or not self._memory.reserve(sequence.id, sequence.length):
            self._memory.release(sequence.id)
            return False
        sequence.start(known, now)
        self._running[sequence.id] = self._called.pop(sequence.id)
        return True

    def _make_room(self) -> None:
        """Have memory for what runs next; while there is none, the running sequence that can wait best gives way."""
        for sequence in list(self._running.values()):
            while sequence.id in self._running and not self._memory.reserve(sequence.id, sequence.length):
                self._send_back(max(self._running.values(), key=lambda one: one.patience))

    def _send_back(self, sequence: Sequence) -> None:
        self._give_back(sequence)
        self._memory.release(sequence.id)
        sequence.give_way()
        self._queue.put_back(sequence)

    def _give_back(self, sequence: Sequence) -> None:
        here = self._called.pop(sequence.id, None) or self._running.pop(sequence.id, None)
        if here is not None and sequence.request.adapter is not None:
            self._pool.release(sequence.request.adapter)

    def _share_out(self) -> list[tuple[Sequence, Chunk]]:
        """A token for each that decodes, then the prompts' pieces in the order of admission."""
        room, scored_room = self._prefill_room(), SCORED_TOKENS_MAX
        work = [(sequence, sequence.chunk(1)) for sequence in self._running.values() if sequence.pending == 1]
        for sequence in self._running.values():
            if sequence.pending == 1:
                continue
            tokens = min(sequence.pending, room, scored_room if sequence.scores_prompt else room)
            if tokens:
                chunk = sequence.chunk(tokens)
                work.append((sequence, chunk))
                room -= len(chunk.tokens)
                scored_room -= len(chunk.tokens) if sequence.scores_prompt else 0
        return work

    def _prefill_room(self) -> int:
        most = self._settings.prefill_tokens_max
        decoding = any(sequence.pending == 1 for sequence in self._running.values())
        return min(most, PREFILL_BESIDE_DECODE) if decoding else most


def _no_memory() -> EngineError:
    return EngineError("The memory for keys and values is full.", fix="Ask again when the machine does less else.")
