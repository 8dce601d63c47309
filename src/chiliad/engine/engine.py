"""The engine on its own thread: submit from anywhere, events come back on that thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from collections.abc import Sequence as Many
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from queue import SimpleQueue

from chiliad.base import ReadQuantised, Tokenizer
from chiliad.config import EngineSettings, Precision
from chiliad.engine.adapter_pool import LoadAdapter
from chiliad.engine.core import EngineCore
from chiliad.engine.grammar import Grammar
from chiliad.engine.native_runner import NativeRunner
from chiliad.engine.request import (
    Aborted,
    AbortReason,
    Completion,
    Delta,
    Event,
    Failed,
    Finished,
    OnEvent,
    Request,
    check_request,
)
from chiliad.engine.runner import Runner, SequenceId
from chiliad.engine.sequence import Sequence
from chiliad.engine.torch_runner import TorchRunner
from chiliad.errors import ConfigError, EngineError, Overloaded
from chiliad.kernels import path_in_use
from chiliad.models import Transformer, use_threads
from chiliad.models.codes import no_codes

log = logging.getLogger(__name__)

RESERVED = 4
"""one place of so many in the queue is only for a share of which nothing waits"""

Progress = Callable[[int, int], None]
"""(requests done, requests in all)"""


@dataclass(frozen=True)
class Handle:
    """A submitted request."""

    request: Request
    _cancel: Callable[[], None]

    def cancel(self) -> None:
        """Abort the request; its last event is Aborted, or what came first. From any thread, any number of times."""
        self._cancel()


@dataclass(frozen=True)
class EngineMemory:
    """Bytes that an engine holds beside the model itself."""

    weights: int
    """its own copy of the matrices, in the order in which they are read"""
    keys_values: int
    adapters: int


@dataclass
class _Inbox:
    """What other threads have asked for since the last step, in order."""

    arrivals: list[Sequence] = field(default_factory=list)
    cancelled: list[SequenceId] = field(default_factory=list)
    loaded: bool = False
    """an adapter has come, or turned out not to"""
    closing: bool = False

    @property
    def empty(self) -> bool:
        return not (self.arrivals or self.cancelled or self.loaded or self.closing)


class Engine:
    """Answers many requests at once, each with its own adapter, in shared steps on one thread."""

    def __init__(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        load_adapter: LoadAdapter,
        settings: EngineSettings,
        *,
        quantised: ReadQuantised = no_codes,
        threads: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts the thread. `load_adapter` runs on another one; `threads` bounds those that one step computes with.

        quantised: the model's matrices in the codes of the file that it comes from, which a lower precision than bf16
        uses as they are. Raises ConfigError where that precision cannot be had.
        """
        self.vocab_size = model.config.vocab_size
        self.context_max = min(settings.context_max, model.config.max_position_embeddings)
        self.precision = settings.precision
        self._settings = replace(settings, context_max=self.context_max)
        self._runner = _runner(model, self._settings, quantised)
        self.computes_with = path_in_use() if isinstance(self._runner, NativeRunner) else "PyTorch"
        """for people"""
        self._clock = clock
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="chiliad-adapters")
        self._core = EngineCore(
            self._runner, tokenizer, load_adapter, self._settings, clock, self._loader, on_loaded=self._note_loaded
        )
        self._compute_threads = threads
        self._numbers = count()
        self._inbox = _Inbox()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="chiliad-engine", daemon=True)
        self._thread.start()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def memory(self) -> EngineMemory:
        """What it takes at this moment. From any thread."""
        pool = self._core.pool
        return EngineMemory(self._runner.weight_bytes, self._runner.kv_bytes, pool.bytes_held + pool.bytes_idle)

    @property
    def is_working(self) -> bool:
        """Whether its thread is there: not after `close`, nor after a mistake that ended it. From any thread."""
        return self._thread.is_alive()

    def compile(self, grammar: Grammar) -> None:
        """Understand a grammar ahead of requests with it, which may take a second. Raises BadRequest."""
        self._core.grammars.start(grammar)

    def submit(self, request: Request, on_event: OnEvent) -> Handle:
        """Queue a request and return at once.

        Raises BadRequest, PromptTooLong, or Overloaded when the queue is full or the engine is closed; then no event
        follows. Otherwise the last event is Finished, Failed or Aborted, exactly one of them.
        """
        return self._submit(request, on_event, patient=False)

    def generate(self, requests: Many[Request], on_progress: Progress | None = None) -> list[Completion]:
        """Answer all requests and return the completions in their order.

        Keeps the batch full but leaves the queue to others. Raises the error of the first request that fails, after
        cancelling the rest. Not to be called from an event's callback.
        """
        ended: SimpleQueue[tuple[int, Event]] = SimpleQueue()
        window = max(1, min(2 * self._settings.batch_max, self._settings.queue_max // 2))
        handles: list[Handle] = []
        completions: dict[int, Completion] = {}
        try:
            while len(completions) < len(requests):
                while len(handles) < min(len(requests), len(completions) + window):
                    number = len(handles)
                    handles.append(self._submit(requests[number], partial(_last_only, ended, number), patient=True))
                number, event = ended.get()
                completions[number] = _completion(event)
                if on_progress:
                    on_progress(len(completions), len(requests))
        finally:
            for number, handle in enumerate(handles):
                if number not in completions:
                    handle.cancel()
        return [completions[number] for number in range(len(requests))]

    def close(self) -> None:
        """Abort what is unfinished and stop the thread. May be called more than once."""
        with self._changed:
            self._inbox.closing = True
            self._changed.notify_all()
        self._thread.join()
        self._loader.shutdown(wait=False, cancel_futures=True)

    def _submit(self, request: Request, on_event: OnEvent, *, patient: bool) -> Handle:
        check_request(request, vocab_size=self.vocab_size, context_max=self.context_max)
        sequence = self._core.sequence(SequenceId(next(self._numbers)), request, on_event)
        with self._changed:
            if patient:
                self._changed.wait_for(lambda: self._inbox.closing or self._has_place(request.share))
            if self._inbox.closing:
                raise Overloaded("The engine is closed.", fix="Start it again.")
            if not self._has_place(request.share):
                raise Overloaded(f"{self._waiting} requests are waiting already.", fix="Try again in a moment.")
            self._inbox.arrivals.append(sequence)
            self._changed.notify_all()
        return Handle(request, partial(self._cancel, sequence.id))

    @property
    def _waiting(self) -> int:
        return len(self._inbox.arrivals) + self._core.waiting

    def _has_place(self, share: str) -> bool:
        """The last places are for shares of which nothing waits: so none can shut the others out."""
        places = self._settings.queue_max
        if self._waiting < places - places // RESERVED:
            return True
        return self._waiting < places and not self._waits(share)

    def _waits(self, share: str) -> bool:
        return self._core.queues(share) or any(one.request.share == share for one in self._inbox.arrivals)

    def _cancel(self, number: SequenceId) -> None:
        with self._changed:
            self._inbox.cancelled.append(number)
            self._changed.notify_all()

    def _note_loaded(self) -> None:
        with self._changed:
            self._inbox.loaded = True
            self._changed.notify_all()

    def _work(self) -> None:
        use_threads(self._compute_threads)
        while self._take_inbox():
            try:
                self._core.step()
            except Exception:
                log.exception("the engine made a mistake")
                self._core.end_all(Failed(EngineError("The engine made a mistake.", fix="Report the log.")))
        self._core.end_all(Aborted(AbortReason.CLOSED))

    def _take_inbox(self) -> bool:
        """Wait until there is something to do; returns False when the engine is closing."""
        with self._changed:
            self._changed.notify_all()  # of the places that the last step and the cancellations before it have freed
            self._changed.wait_for(lambda: not self._inbox.empty or self._core.can_step, self._seconds_to_deadline())
            inbox, self._inbox = self._inbox, _Inbox(closing=self._inbox.closing)
            for sequence in inbox.arrivals:
                self._core.add(sequence)
        for number in inbox.cancelled:
            self._core.cancel(number)
        return not inbox.closing

    def _seconds_to_deadline(self) -> float | None:
        deadline = self._core.next_deadline
        return None if deadline is None else min(max(0.0, deadline - self._clock()), threading.TIMEOUT_MAX)


def _runner(model: Transformer, settings: EngineSettings, quantised: ReadQuantised) -> Runner:
    """The fastest that takes this model. Raises ConfigError."""
    if NativeRunner.fits(model, settings):
        log.info("computing with %s, weights in %s", path_in_use(), settings.precision)
        return NativeRunner(model, settings, quantised)
    if settings.precision is not Precision.BF16:
        raise ConfigError(
            f"Weights in {settings.precision} need native kernels. This base is computed without them; here there are: "
            f"{path_in_use()}.",
            fix="Set engine.precision to bf16.",
        )
    log.info("computing with PyTorch")
    return TorchRunner(model, settings)


def _last_only(ended: SimpleQueue[tuple[int, Event]], number: int, event: Event) -> None:
    if not isinstance(event, Delta):
        ended.put((number, event))


def _completion(event: Event) -> Completion:
    if isinstance(event, Finished):
        return event.completion
    if isinstance(event, Failed):
        raise event.error
    raise Overloaded("The engine was closed.", fix="Ask again.")
