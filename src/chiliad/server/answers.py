"""The answers to one request while the engine makes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import Receive

from chiliad.engine import Aborted, AbortReason, Completion, Delta, Event, Failed, Finished, OnEvent
from chiliad.errors import ChiliadError
from chiliad.server.bill import Bill
from chiliad.server.errors import HttpError, Told
from chiliad.server.mailbox import Mailbox
from chiliad.server.service import Handle

Start = Callable[[OnEvent], Handle]
"""begins one answer, its events going to the given callback"""


@dataclass(frozen=True)
class Step:
    """What one event of the engine adds to the answer at `index`."""

    index: int
    event: Delta | Finished


class Answers:
    """One or more answers under way, numbered in the order of their starts. Lives on the event loop.

    Iterating gives their steps as they come and ends after the last `Finished`. It raises as soon as one of the answers
    fails; the others are then of no use and cancelled.
    """

    def __init__(self, starts: list[Start], bill: Bill, mailbox: Mailbox, told: Told) -> None:
        """Raises what a start raises; no answer is under way then. What they take is on `bill`, which stays open."""
        self.bill = bill
        self._mailbox = mailbox
        self._told = told
        self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self._unfinished: dict[int, Handle] = {}
        try:
            for index, start in enumerate(starts):
                self._unfinished[index] = start(self._receiver(index))
                bill.begin(index)
        except BaseException:
            self.cancel()
            raise

    async def __aiter__(self) -> AsyncIterator[Step]:
        while self._unfinished:
            index, event = await self._events.get()
            match event:
                case Failed(error):
                    self.cancel()
                    raise self._told(error)
                case Aborted(reason):
                    self.cancel()
                    raise _aborted(reason)
                case Finished():
                    del self._unfinished[index]
            yield Step(index, event)

    @property
    def have_more(self) -> bool:
        """Whether the next step, or the end, comes without waiting."""
        return not self._unfinished or not self._events.empty()

    async def completions(self) -> list[Completion]:
        """All of them, when they are done. Raises like the iteration."""
        done: dict[int, Completion] = {}
        async for step in self:
            if isinstance(step.event, Finished):
                done[step.index] = step.event.completion
        return [done[index] for index in sorted(done)]

    def fail(self, error: ChiliadError) -> None:
        """Have the iteration raise `error` after what has already come."""
        self._events.put_nowait((0, Failed(error)))

    def cancel(self) -> None:
        for handle in self._unfinished.values():
            handle.cancel()

    def _receiver(self, index: int) -> OnEvent:
        def receive(event: Event) -> None:
            self._mailbox.post(lambda: self._take(index, event))

        return receive

    def _take(self, index: int, event: Event) -> None:
        """Count what has come now: whoever reads the steps may be slow."""
        match event:
            case Delta(tokens=tokens):
                self.bill.add(len(tokens))
            case Finished(completion):
                self.bill.end(index, cached_tokens=completion.cached_tokens)
        self._events.put_nowait((index, event))


@asynccontextmanager
async def failing_when_gone(receive: Receive, answers: Answers) -> AsyncIterator[None]:
    """In the block, answers that nobody waits for any more fail; `receive` is what tells that the client left."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        answers.fail(HttpError.client_gone())

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()


def _aborted(reason: AbortReason) -> HttpError:
    match reason:
        case AbortReason.CLOSED:
            return HttpError.shutting_down()
        case AbortReason.CANCELLED:
            return HttpError(499, "cancelled", "The request was cancelled.", fix="Send it again if it is still wanted.")
