"""Whose seconds of machine they are, when many answers are made at once."""

from __future__ import annotations

import time
from collections.abc import Callable


class MachineTime:
    """Divides each moment equally among the answers under way, so that their shares add up to the time it was busy.

    `_each` is what an answer that was there all along would have had by now; a share is how much that grew meanwhile.
    So entering and leaving cost the same however many answers there are. For one thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._each = 0.0
        self._under_way = 0
        self._last = clock()

    def enter(self) -> float:
        """Begin an answer; what is returned is for `leave`."""
        self._advance()
        self._under_way += 1
        return self._each

    def leave(self, entered: float) -> float:
        """End an answer, and learn its share in seconds."""
        self._advance()
        self._under_way -= 1
        return self._each - entered

    def _advance(self) -> None:
        now = self._clock()
        if self._under_way:
            self._each += (now - self._last) / self._under_way
        self._last = now
