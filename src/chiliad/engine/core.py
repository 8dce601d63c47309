"""The engine without its thread: add requests, step, and every one of them ends exactly once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from heapq import heappop, heappush

import torch
from torch import Tensor

from chiliad.adapters import AdapterHash
from chiliad.base import StreamDecoder, Tokenizer
from chiliad.config import EngineSettings
from chiliad.engine.adapter_pool import AdapterPool, LoadAdapter
from chiliad.engine.grammar import Grammars
from chiliad.engine.request import Aborted, AbortReason, Event, Failed, Finished, OnEvent, Request
from chiliad.engine.runner import Chunk, Logits, PreparedAdapter, Runner, SequenceId
from chiliad.engine.sampler import Draw, Drawn, sample, score
from chiliad.engine.scheduler import Plan, Scheduler
from chiliad.engine.sequence import Sequence, constraint_of
from chiliad.engine.text import TextStream
from chiliad.errors import BrokenAdapter, BrokenBase, ChiliadError, DeadlinePassed, EngineError

log = logging.getLogger(__name__)


class EngineCore:
    """Owns the sequences and the order of a step. Used from one thread.

    The last event of a request is Finished, Failed or Aborted, and it comes once, also when a callback, an adapter or the
    runner fails. A callback that raises has its request aborted and is not called again.
    """

    def __init__(
        self,
        runner: Runner,
        tokenizer: Tokenizer,
        load_adapter: LoadAdapter,
        settings: EngineSettings,
        clock: Callable[[], float],
        loader: Executor,
        on_loaded: Callable[[], None],
    ) -> None:
        """loader: reads adapters; on_loaded: called from there after each, when it may be time for a step."""
        self._runner = runner
        self._tokenizer = tokenizer
        self._load_adapter = load_adapter
        self._clock = clock
        self.grammars = Grammars(tokenizer)
        self.pool = AdapterPool(self._load_prepared, settings.adapter_cache_bytes, loader, on_loaded)
        self._scheduler = Scheduler(settings, self.pool, runner)
        self._sequences: dict[SequenceId, Sequence] = {}
        self._deadlines: list[tuple[float, SequenceId]] = []
        self._stuck = False

    @property
    def idle(self) -> bool:
        """No request is left."""
        return not self._sequences

    @property
    def can_step(self) -> bool:
        """Whether the next step has work, if nothing is added, cancelled, loaded or overdue before."""
        return not self.idle and not self._stuck

    @property
    def next_deadline(self) -> float | None:
        """When the next request ends unanswered, on the engine's clock."""
        while self._deadlines and self._deadlines[0][1] not in self._sequences:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    @property
    def waiting(self) -> int:
        """Requests that are not in the batch yet."""
        return self._scheduler.waiting

    def queues(self, share: str) -> bool:
        """Whether one of this share waits in the queue. From any thread: then it may be a moment old."""
        return self._scheduler.queues(share)

    def sequence(self, number: SequenceId, request: Request, on_event: OnEvent) -> Sequence:
        """What `add` takes: a request that `check_request` has passed, ready to run. From any thread.

        Compiling its grammar may take a while. Raises BadRequest for one that cannot be understood.
        """
        constraint = constraint_of(request, self.grammars)
        text = TextStream(StreamDecoder(self._tokenizer), request.sampling.stop)
        return Sequence(number, request, constraint, text, on_event, self._clock())

    def add(self, sequence: Sequence) -> None:
        """Take a request; from now on it waits, and its events come from later calls."""
        sequence.submitted_s = self._clock()
        self._sequences[sequence.id] = sequence
        self._scheduler.add(sequence)
        if sequence.request.deadline_s is not None:
            heappush(self._deadlines, (sequence.request.deadline_s, sequence.id))

    def cancel(self, number: SequenceId) -> None:
        """Abort a request. Does nothing when it has ended."""
        if number in self._sequences:
            self._end(self._sequences[number], Aborted(AbortReason.CANCELLED))

    def end_all(self, event: Failed | Aborted) -> None:
        """End every request with the same event."""
        for sequence in list(self._sequences.values()):
            self._end(sequence, event)

    def step(self) -> None:
        """Run the next tokens of the sequences in the batch, and end those that are complete."""
        plan = self._plan()
        logits = self._run(plan)
        self._settle(plan, logits)

    def _plan(self) -> Plan:
        now = self._clock()
        while (deadline := self.next_deadline) is not None and deadline <= now:
            self._end(self._sequences[heappop(self._deadlines)[1]], Failed(_too_late()))
        plan = self._scheduler.plan(now)
        self._stuck = self._scheduler.calling and not plan.work and not plan.refused
        return plan

    def _run(self, plan: Plan) -> Tensor | EngineError:
        if not plan.work:  # the runner would read all weights for it
            return torch.empty(0)
        try:
            return self._runner.run(plan.chunks)
        except Exception as error:
            log.exception("a step with %d sequences failed", len(plan.work))
            return EngineError(f"A step of the engine failed: {error}.", fix="Try again; the log says more.")

    def _settle(self, plan: Plan, logits: Tensor | EngineError) -> None:
        for sequence, error in plan.refused:
            self._end(sequence, Failed(error))
        if isinstance(logits, EngineError):
            for sequence, _ in plan.work:
                self._end(sequence, Failed(logits))
            return
        last = _settle_chunks(plan, logits)
        draws = self._draws(last)
        rows = [last[sequence] for sequence in draws]
        last_logits = logits if len(rows) == len(logits) else logits[rows]
        for sequence, one in zip(draws, sample(last_logits, list(draws.values())), strict=True):
            self._advance(sequence, one)

    def _draws(self, sequences: Iterable[Sequence]) -> dict[Sequence, Draw]:
        """How each sequence's next token is to be chosen; those whose constraint fails have ended."""
        draws: dict[Sequence, Draw] = {}
        for sequence in sequences:
            try:
                draws[sequence] = sequence.draw()
            except ChiliadError as error:
                self._end(sequence, Failed(error))
        return draws

    def _advance(self, sequence: Sequence, drawn: Drawn | None) -> None:
        if drawn is None:
            self._end(sequence, Failed(_not_finite(sequence)))
            return
        now = self._clock()
        delta, finish = sequence.advance(drawn, now)
        if (delta.tokens or delta.text) and not self._emit(sequence, delta):
            self._forget(sequence)
        elif finish is not None:
            self._end(sequence, Finished(sequence.completion(finish, now)))

    def _end(self, sequence: Sequence, event: Finished | Failed | Aborted) -> None:
        self._forget(sequence)
        self._emit(sequence, event)

    def _forget(self, sequence: Sequence) -> None:
        del self._sequences[sequence.id]
        self._scheduler.remove(sequence)
        self._runner.release(sequence.id)

    def _emit(self, sequence: Sequence, event: Event) -> bool:
        try:
            sequence.on_event(event)
        except Exception:
            log.exception("the callback of request %s failed", sequence.request.id)
            return False
        return True

    def _load_prepared(self, adapter: AdapterHash) -> PreparedAdapter:
        try:
            loaded = self._load_adapter(adapter)
            prepared = self._runner.prepare(loaded.adapter)
            loaded.check()
            return prepared
        except ChiliadError:
            raise
        except Exception as error:
            raise BrokenAdapter(
                f"The adapter {adapter[:12]} cannot be loaded: {error}.", fix="Look at its files, or train it again."
            ) from error


def _settle_chunks(plan: Plan, logits: Tensor) -> dict[Sequence, int]:
    """Note what has been run; returns the row of `logits` [rows, vocab] that each sequence's next token comes from."""
    last: dict[Sequence, int] = {}
    row = 0
    for sequence, chunk in plan.work:
        if chunk.logits is Logits.ALL:
            _score_prompt(sequence, chunk, logits[row : row + chunk.rows])
        sequence.done = chunk.end
        row += chunk.rows
        if not sequence.pending:
            last[sequence] = row - 1
    return last


def _score_prompt(sequence: Sequence, chunk: Chunk, logits: Tensor) -> None:
    targets = sequence.prompt_targets(chunk)
    top = sequence.request.prompt_logprobs or 0
    sequence.add_prompt_logprobs(score(logits[: len(targets)], targets, top))


def _too_late() -> DeadlinePassed:
    return DeadlinePassed("The answer took longer than this request allows.", fix="Allow more time, or fewer tokens.")


def _not_finite(sequence: Sequence) -> ChiliadError:
    if sequence.adapter is None:
        return BrokenBase("The base model's output is not finite.", fix="Remove this base and pull it again.")
    return BrokenAdapter(
        f"With the adapter {sequence.adapter.hash[:12]} the model's output is not finite.", fix="Train it again."
    )
