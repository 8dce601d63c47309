"""Answers whose time is over leave the database while a server runs, also when nothing new is kept."""

from __future__ import annotations

import logging
from threading import Event, Thread
from types import TracebackType
from typing import Self

from chiliad.errors import StoreError
from chiliad.store import KeptAnswers
from chiliad.store.answers import SWEEP_EVERY_S

log = logging.getLogger("chiliad.feedback")


class Sweeping:
    """While entered, rows of kept answers are removed soon after their time: at once, and then every `every_s`."""

    def __init__(self, answers: KeptAnswers, *, every_s: float = SWEEP_EVERY_S) -> None:
        self._answers, self._every_s = answers, every_s
        self._done = Event()
        self._thread = Thread(target=self._run, name="sweeping", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._answers.sweep()
            except StoreError as error:
                log.warning("Answers whose time is over stay for now: %s", error)
            if self._done.wait(self._every_s):
                return
