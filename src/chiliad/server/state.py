"""What every route of one server shares: the service, the accounts, the answers under way, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Annotated, TypeVar, cast

from fastapi import Depends, FastAPI, Request

from chiliad.engine import Completion, Grammar
from chiliad.errors import BaseNotLoaded, ChiliadError
from chiliad.ledger import Accounts, MachineTime
from chiliad.server.admin_link import AdminLink
from chiliad.server.answers import Answers, Start, failing_when_gone
from chiliad.server.bill import Bill, Order
from chiliad.server.caller import Caller, Callers
from chiliad.server.errors import HttpError, Told, code_of
from chiliad.server.keepsake import Keeping, Keepsake
from chiliad.server.mailbox import Mailbox
from chiliad.server.meters import Meters
from chiliad.server.service import AnyService, ServedModel, Turns
from chiliad.server.wire.request import GenerationBody

QUERIES_AT_ONCE_MAX = 2
"""so that slow queries leave worker threads to other requests"""
GRAMMARS_AT_ONCE_MAX = 2
"""compiled, for the same reason"""
EMBEDDINGS_AT_ONCE_MAX = 2
"""likewise"""

T = TypeVar("T")


class ServerState:
    """Lives on the event loop; no method may be called from another thread."""

    def __init__(
        self,
        service: AnyService,
        accounts: Accounts,
        callers: Callers,
        admin_link: AdminLink | None,
        keeping: Keeping | None,
        told: Told,
    ) -> None:
        self.service = service
        self.accounts = accounts
        self.callers = callers
        self.admin_link = admin_link
        self._keeping = keeping
        self._told = told
        self.queries = asyncio.Semaphore(QUERIES_AT_ONCE_MAX)
        """taken by whoever runs one on a database of the workspace"""
        self.embeddings = asyncio.Semaphore(EMBEDDINGS_AT_ONCE_MAX)
        """taken by whoever makes some"""
        self._compiling = asyncio.Semaphore(GRAMMARS_AT_ONCE_MAX)
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="chiliad-bases")
        self._machine = MachineTime()
        self._running: set[Answers] = set()
        self._closing = False
        self.meters = Meters(lambda: len(self._running))

    async def models(self) -> list[ServedModel]:
        return list(await asyncio.to_thread(self.service.models))

    async def resolve(self, model_id: str) -> ServedModel:
        return await self.with_model(lambda: self.service.resolve(model_id))

    async def with_model(self, work: Callable[[], T]) -> T:
        """What `work` gives, which resolves a model, on a worker thread.

        Those who need a base that is not in memory wait for it here: had each of them a worker thread to wait on, none
        would be left to other requests. Raises BaseModelError.
        """
        try:
            return await asyncio.to_thread(work)
        except BaseNotLoaded as missing:
            loading = asyncio.get_running_loop().run_in_executor(self._loader, self.service.load, missing.base_id)
        await loading
        return await asyncio.to_thread(work)

    async def compile(self, model: ServedModel, grammar: Grammar | None) -> None:
        """Make a grammar ready, if there is one, before anything is begun with it. Raises BadRequest."""
        if grammar is not None:
            async with self._compiling:
                await asyncio.to_thread(self.service.compile, model, grammar)

    async def open_bill(self, order: Order, caller: Caller) -> Bill:
        """What answers may be begun on, at once. Raises HttpError (429) when it passes a limit of the caller."""
        bill = Bill(order, caller, self.accounts, self._machine, self.meters)
        if caller.limits.are_set:
            try:
                await asyncio.to_thread(bill.reserve)
            except ChiliadError as error:
                self.meters.refuse(code_of(error))
                raise
        return bill

    def keepsake(
        self, body: GenerationBody, answer_id: str, model: ServedModel, asked: Sequence[Turns], caller: Caller
    ) -> Keepsake:
        """What keeps the answers to a request, if they are to be kept: the request has the last word.

        `asked` is what stands before each of them.
        """
        keeping = self._keeping
        wanted = keeping is not None and (keeping.always if body.store is None else body.store)
        kept = keeping.answers if keeping and wanted else None
        return Keepsake(kept, answer_id, model, asked, caller, body.metadata or {})

    def begin(self, starts: list[Start], bill: Bill) -> Answers:
        """Start answers that `end` must be called for. Raises HttpError (503) from `close` on, and what a start raises."""
        try:
            self.refuse_if_closing()
            answers = Answers(starts, bill, self._mailbox, self._told)
        except BaseException as error:
            if isinstance(error, ChiliadError):
                self.meters.refuse(code_of(error))
            bill.close()
            raise
        self._running.add(answers)
        return answers

    def end(self, answers: Answers) -> None:
        """Cancel whatever of the answers is still under way, and record what they took."""
        self._running.discard(answers)
        answers.cancel()
        answers.bill.close()

    async def complete(self, starts: list[Start], bill: Bill, request: Request) -> list[Completion]:
        """Start answers and wait for all of them, but not longer than the client does."""
        answers = self.begin(starts, bill)
        try:
            async with failing_when_gone(request.receive, answers):
                return await answers.completions()
        finally:
            self.end(answers)

    def refuse_if_closing(self) -> None:
        """Raises HttpError (503) from `close` on."""
        if self._closing:
            raise HttpError.shutting_down()

    def close(self, *, finish_s: float) -> None:
        """Begin no answer any more; those still under way after `finish_s` end with an error."""
        self._closing = True
        asyncio.get_running_loop().call_later(finish_s, self._fail_running)

    def _fail_running(self) -> None:
        for answers in self._running:
            answers.fail(HttpError.shutting_down())

    @cached_property
    def _mailbox(self) -> Mailbox:
        return Mailbox(asyncio.get_running_loop())


def attach(app: FastAPI, state: ServerState) -> None:
    app.state.server = state


def state_of(app: FastAPI) -> ServerState:
    return cast(ServerState, app.state.server)


async def _state_of_request(request: Request) -> ServerState:
    return state_of(request.app)


State = Annotated[ServerState, Depends(_state_of_request)]
