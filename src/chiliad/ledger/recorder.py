"""Writes to the ledger on a thread of its own, several entries at a time, so that no answer waits for it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from threading import Condition, Lock, Thread
from typing import Protocol

from chiliad.errors import StoreError
from chiliad.store import Settled

FLUSH_S = 0.5
"""how long an entry waits for others: what a killed process can lose"""
RETRY_S = 5.0
BATCH_MAX = 500
WAITING_MAX = 100_000
"""entries kept while the database cannot be used; with more the oldest are given up, and the log says so"""

log = logging.getLogger("chiliad.ledger")


class Writer(Protocol):
    """Where the entries go: the `Ledger` of the store."""

    def record(self, settled: Sequence[Settled], used: Mapping[str, float]) -> None: ...


class Recorder:
    """Its thread begins with the first entry and ends with `close`. Safe to share between threads.

    A process that is killed loses the entries of its last FLUSH_S; what was reserved for them stays reserved. Only the
    database keeps them through a loss of power, as its own settings say.
    """

    def __init__(self, writer: Writer, *, flush_s: float = FLUSH_S, retry_s: float = RETRY_S) -> None:
        self._writer = writer
        self._flush_s, self._retry_s = flush_s, retry_s
        self._entries: deque[Settled] = deque(maxlen=WAITING_MAX)
        self._used: dict[str, float] = {}
        self._lost = 0
        self._thread: Thread | None = None
        self._closing = False
        self._changed = Condition()
        self._writing = Lock()

    def add(self, settled: Settled) -> None:
        """Have an entry written soon. Does not wait."""
        with self._changed:
            self._lost += len(self._entries) == WAITING_MAX
            self._entries.append(settled)
            self._wake()

    def used(self, key_id: str, at_s: float) -> None:
        """Have it noted that a key was used. Does not wait."""
        with self._changed:
            self._used[key_id] = at_s
            self._wake()

    def flush(self) -> bool:
        """Write what has been added by now. False when the database does not take it; it is kept for the next time then."""
        with self._writing:
            while self._entries or self._used:
                if not self._write():
                    return False
        return True

    def close(self) -> None:
        """Write what is left, and end. What the database does not take now is lost, and the log says so."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread:
            self._thread.join()
        if not self.flush():
            log.error("%d answers are missing in the ledger: its database could not be used.", len(self._entries))

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._run, name="chiliad-ledger", daemon=True)
            self._thread.start()
        elif len(self._entries) == BATCH_MAX:
            self._changed.notify()

    def _run(self) -> None:
        done = True
        while self._wait(done=done):
            done = self.flush()

    def _wait(self, *, done: bool) -> bool:
        """Let entries gather, or the database recover if the last write was not `done`. False once all have come."""
        seconds, enough = (self._flush_s, BATCH_MAX) if done else (self._retry_s, WAITING_MAX + 1)
        with self._changed:
            self._changed.wait_for(lambda: self._closing or len(self._entries) >= enough, timeout=seconds)
            return not self._closing

    def _write(self) -> bool:
        """One batch, or none of it."""
        with self._changed:
            batch = [self._entries.popleft() for _ in range(min(len(self._entries), BATCH_MAX))]
            used, self._used = self._used, {}
        try:
            self._writer.record(batch, used)
        except StoreError as error:
            log.warning("The ledger waits for its database: %s", error)
            self._put_back(batch, used)
            return False
        self._tell_losses()
        return True

    def _put_back(self, batch: list[Settled], used: dict[str, float]) -> None:
        with self._changed:
            room = WAITING_MAX - len(self._entries)
            self._lost += max(len(batch) - room, 0)
            self._entries.extendleft(reversed(batch[-room:] if room else []))
            self._used = {**used, **self._used}

    def _tell_losses(self) -> None:
        if self._lost:
            log.error("%d answers are missing in the ledger: its database was away for too long.", self._lost)
            self._lost = 0
