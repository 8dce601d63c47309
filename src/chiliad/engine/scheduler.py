"""Which tokens of which sequences run in the next step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chiliad.config import EngineSettings
from chiliad.engine.adapter_pool import AdapterPool
from chiliad.engine.fair_queue import FairQueue
from chiliad.engine.runner import Chunk, PreparedAdapter, SequenceId
from chiliad.engine.sequence import Sequence
from chiliad.errors import ChiliadError

PREFILL_BESIDE_DECODE = 512
"""prompt tokens in a step that also decodes: a matrix product is at full speed here, and nobody waits much longer"""

SCORED_TOKENS_MAX = 256
"""prompt tokens in a step whose logits are all wanted: each is a row as wide as the vocabulary"""


Begin = Callable[[SequenceId, tuple[int, ...], PreparedAdapter | None], int]
"""`Runner.begin`"""


@dataclass(frozen=True)
class Plan:
    """The work of one step, and the sequences that could not be admitted."""

    work: tuple[tuple[Sequence, Chunk], ...]
    refused: tuple[tuple[Sequence, ChiliadError], ...]

    @property
    def chunks(self) -> list[Chunk]:
        return [chunk for _, chunk in self.work]


class Scheduler:
    """Decoding sequences run in every step; prompts fill what room is left, in the order of a fair queue.

    Whose turn it is waits for room if need be, and all others behind it: nobody overtakes a large request for ever.
    """

    def __init__(self, settings: EngineSettings, pool: AdapterPool, begin: Begin) -> None:
        """begin: tells the runner of an admitted sequence, and how many of its tokens need not be run."""
        self._settings = settings
        self._pool = pool
        self._begin = begin
        self._queue = FairQueue()
        self._running: list[Sequence] = []

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def add(self, sequence: Sequence) -> None:
        self._queue.add(sequence)

    def plan(self, now: float) -> Plan:
        """Admit what fits and share out the step. Admitting holds the sequence's adapter until `remove`."""
        refused = self._admit(now)
        decoding = [sequence for sequence in self._running if sequence.pending == 1]
        prefilling = [sequence for sequence in self._running if sequence.pending > 1]
        room = self._prefill_room(bool(decoding))
        scored_room = SCORED_TOKENS_MAX
        work = [(sequence, sequence.chunk(1)) for sequence in decoding]
        for sequence in prefilling:
            tokens = min(sequence.pending, room, scored_room if sequence.scores_prompt else room)
            if tokens:
                chunk = sequence.chunk(tokens)
                work.append((sequence, chunk))
                room -= tokens
                scored_room -= tokens if sequence.scores_prompt else 0
        for sequence, chunk in work:
            self._queue.charge(sequence, len(chunk.tokens))
        return Plan(tuple(work), refused)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence that has ended, running or waiting, and give back its adapter."""
        self._queue.leave(sequence)
        if sequence in self._running:
            self._running.remove(sequence)
            if sequence.request.adapter is not None:
                self._pool.release(sequence.request.adapter)

    def _admit(self, now: float) -> tuple[tuple[Sequence, ChiliadError], ...]:
        """Move sequences into the batch while there is room for them, their prompts and their adapters."""
        refused: list[tuple[Sequence, ChiliadError]] = []
        decoding = any(sequence.pending == 1 for sequence in self._running)
        room = self._prefill_room(decoding) - sum(s.pending for s in self._running if s.pending > 1)
        while room > 0 and len(self._running) < self._settings.batch_max:
            sequence = self._queue.first(now)
            if sequence is None:
                break
            wanted = sequence.request.adapter
            if wanted is not None and not self._pool.has_room(wanted):
                break
            self._queue.take(sequence)
            try:
                adapter = None if wanted is None else self._pool.acquire(wanted)
            except ChiliadError as error:
                refused.append((sequence, error))
                continue
            sequence.start(adapter, now)
            self._running.append(sequence)
            if not sequence.scores_prompt:
                sequence.skip(self._begin(sequence.id, sequence.request.prompt, adapter))
            room -= sequence.pending
        return tuple(refused)

    def _prefill_room(self, decoding: bool) -> int:
        most = self._settings.prefill_tokens_max
        return min(most, PREFILL_BESIDE_DECODE) if decoding else most
