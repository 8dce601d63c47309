"""How things come from another thread to the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable


class Mailbox:
    """Runs what is posted on any thread, in order, on one event loop.

    One wake-up of the loop carries everything posted since the last one: a step of the engine posts for every running
    sequence, and waking the loop for each would cost more than delivering them. Posting never blocks.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._posted: deque[Callable[[], None]] = deque()
        self._woken = False

    def post(self, deliver: Callable[[], None]) -> None:
        """Have `deliver` called on the loop. A closed loop has nobody left to deliver to; nothing happens then."""
        self._posted.append(deliver)
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._woken = False  # before the first is taken: whatever is posted from now on wakes the loop again
        while self._posted:
            self._posted.popleft()()
