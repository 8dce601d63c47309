"""Nobody gets further than the table of access lets them, and nothing is read or looked up for those who may not."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from chiliad.errors import ChiliadError
from chiliad.server.access import Doors, Need
from chiliad.server.caller import ANYBODY, Caller, Callers, remember
from chiliad.server.errors import Answer, HttpError
from chiliad.store.audit import acting_as


class AccessGuard:
    """Answers 401 without a valid key, to what is there and what is not, and 403 when its role is not enough."""

    def __init__(self, app: ASGIApp, *, callers: Callers, doors: Doors, answer: Answer) -> None:
        self._app = app
        self._answer = answer
        self._callers = callers
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        need = self._doors.need(scope) if scope["type"] == "http" else Need.OPEN
        if need is Need.OPEN:
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._admitted(need, Headers(scope=scope))
        except ChiliadError as error:
            await self._answer(Request(scope), error)(scope, receive, send)
            return
        remember(scope, caller)
        with acting_as(caller.id):
            await self._app(scope, receive, send)

    async def _admitted(self, need: Need, headers: Headers) -> Caller:
        """Raises HttpError, and StoreError: without the database nobody gets in."""
        caller = await asyncio.to_thread(self._callers.of, headers)
        if caller is None or (caller is ANYBODY and not need.met_by(ANYBODY.role)):
            raise wrong_key()
        if not need.met_by(caller.role):
            cause = f"A key with the role {caller.role} may not do this."
            raise HttpError(403, "not_permitted", cause, fix="Ask an admin for a key with another role.")
        return caller


def wrong_key() -> HttpError:
    """In the words of OpenAI's message: clients look for them (LiteLLM, before it looks at the status)."""
    fix = "Send the header Authorization: Bearer KEY; `chiliad keys create` makes keys."
    return HttpError(401, "invalid_api_key", "Incorrect API key provided, or none at all.", fix=fix)
