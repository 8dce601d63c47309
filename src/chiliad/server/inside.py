"""Requests of a job to the routes of this very program, without a socket: a batch answers what the server would answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from chiliad.errors import Overloaded, StoreError
from chiliad.server.app import create_app
from chiliad.server.caller import submitter
from chiliad.workspace import Workspace

AT_ONCE_MAX = 32
"""requests under way at a time: enough to fill the engine's steps"""

T = TypeVar("T")


async def some_at_once(asked: Iterable[Coroutine[Any, Any, T]]) -> AsyncGenerator[list[T]]:
    """What `asked` give, as it comes, some at a time; when this is closed, those under way are cancelled."""
    running: set[asyncio.Task[T]] = set()
    try:
        for one in asked:
            running.add(asyncio.create_task(one))
            if len(running) == AT_ONCE_MAX:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                yield await asyncio.gather(*done)
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            yield await asyncio.gather(*done)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class Inside:
    """Entered on an event loop; closes what it opened. What it asks is billed to whoever submitted the job."""

    def __init__(self, workspace: Workspace, caller_id: str) -> None:
        """Raises KeyNotFound if the key of the submitter does not hold any more."""
        self._app = create_app(
            workspace.service(bases=(), any_base=True),
            workspace.settings.server,
            workspace.accounts,
            workspace=workspace,
            everybody=submitter(workspace.accounts, caller_id),
        )
        self._asking_again = asyncio.Lock()
        self._asked = self._answered = 0

    async def __aenter__(self) -> Self:
        transport = httpx.ASGITransport(app=self._app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of the answer. Raises StoreError for what is no answer, since the database is away.

        What finds no place in the queue is asked again: it is full of what this very job asked before.
        """
        answer = await self._ask(path, body)
        if _found_no_place(answer):
            answer = await self._ask_again(path, body, answer)
        told = answer.json()
        if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            raise StoreError(told["error"]["message"], fix="")
        return answer.status_code, told

    async def _ask(self, path: str, body: dict[str, Any]) -> httpx.Response:
        self._asked += 1
        try:
            return await self._client.post(path, json=body)
        finally:
            self._answered += 1

    async def _ask_again(self, path: str, body: dict[str, Any], answer: httpx.Response) -> httpx.Response:
        """One request at a time does. No place for one that is alone is no place for ever: that is its answer."""
        async with self._asking_again:
            alone = False
            while _found_no_place(answer) and not alone:
                answered = self._answered
                await asyncio.sleep(float(answer.headers["Retry-After"]))
                answer = await self._ask(path, body)
                alone = self._asked == answered + 1
        return answer


def _found_no_place(answer: httpx.Response) -> bool:
    if answer.status_code != HTTPStatus.TOO_MANY_REQUESTS:
        return False
    return bool(answer.json()["error"]["code"] == Overloaded.code)
