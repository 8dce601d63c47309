"""Who asks, on every request: a key, a browser that signed in, or on an open server anybody."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from typing import Annotated, cast

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope as Connection

from chiliad.errors import KeyNotFound
from chiliad.ledger import Accounts
from chiliad.store import DEFAULT_PROJECT, Key, Limits, Role, Scope

COOKIE = "chiliad_session"
UNLIMITED = Limits()


@dataclass(frozen=True)
class Caller:
    """id: what the ledger and the audit log know it by; project: None for an admin, who sees all of them"""

    id: str
    name: str
    role: Role
    project: str
    limits: Limits = UNLIMITED

    @property
    def sees(self) -> str | None:
        """The project whose feedback, traffic and spend it may see; None stands for all."""
        return None if self.role is Role.ADMIN else self.project

    @property
    def share(self) -> str | None:
        """As whom it takes turns with others at the engine; None for anybody, whose experts take turns instead."""
        return None if self.id == ANYBODY.id else self.id

    @property
    def scope(self) -> Scope:
        """Of the files, jobs and evals that it makes and sees."""
        return Scope(self.project, sees_all=self.role is Role.ADMIN)


ANYBODY = Caller("anybody", "anybody on this machine", Role.MEMBER, DEFAULT_PROJECT)
BOOTSTRAP = Caller("bootstrap", "CHILIAD_API_KEY", Role.ADMIN, DEFAULT_PROJECT)
ADMIN_LINK = Caller("admin-link", "the admin link", Role.ADMIN, DEFAULT_PROJECT)


class Callers:
    """Tells who a request comes from. Reads the database, so that a revoked key is refused at once, by every server."""

    def __init__(
        self, accounts: Accounts, *, api_key: str | None, open_until_keys: bool, everybody: Caller | None = None
    ) -> None:
        """With `open_until_keys` requests without a key are answered as long as no key was ever made.

        With `everybody` all requests are that caller's.
        """
        self._everybody = everybody
        self._accounts = accounts
        self._api_key = api_key.encode() if api_key else None
        self._open = open_until_keys and api_key is None

    def of(self, headers: Headers) -> Caller | None:
        """None for whoever has no valid key and needs one. Called on worker threads."""
        if self._everybody is not None:
            return self._everybody
        if self._is_open():
            return self._signed_in(headers) or ANYBODY
        secret = _bearer(headers)
        return (self.holding(secret) if secret else None) or self._signed_in(headers)

    def holding(self, secret: str) -> Caller | None:
        """Whose secret it is, if anybody's."""
        if self._api_key is not None and hmac.compare_digest(secret.encode("utf-8", "surrogateescape"), self._api_key):
            return BOOTSTRAP
        key = self._accounts.keys.by_secret(secret)
        return self._with(key) if key else None

    def _signed_in(self, headers: Headers) -> Caller | None:
        token = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        session = self._accounts.sessions.find(token) if token else None
        if session is None:
            return None
        if session.key_id is None:
            return ADMIN_LINK
        if session.key_id == BOOTSTRAP.id:
            return BOOTSTRAP if self._api_key else None
        try:
            key = self._accounts.keys.get(session.key_id)
        except KeyNotFound:
            return None
        return self._with(key) if key.valid_at(self._accounts.clock()) else None

    def _with(self, key: Key) -> Caller:
        self._accounts.recorder.used(key.id, self._accounts.clock())
        return _holder(key)

    def _is_open(self) -> bool:
        """Once there was a key, it never is again."""
        self._open = self._open and not self._accounts.keys.exist()
        return self._open


def submitter(accounts: Accounts, caller_id: str) -> Caller:
    """Whoever submitted a job, now that it runs: limits per minute are for those who wait, that of the month stays.

    Raises KeyNotFound if the key does not hold any more.
    """
    known = next((caller for caller in (ANYBODY, BOOTSTRAP, ADMIN_LINK) if caller.id == caller_id), None)
    if known is not None:
        return known
    key = accounts.keys.get(caller_id)
    if not key.valid_at(accounts.clock()):
        raise KeyNotFound(
            f"The key {key.name} has expired or was revoked.", fix="Submit the job again with another key."
        )
    return replace(_holder(key), limits=Limits(spend_per_month=key.limits.spend_per_month))


def _holder(key: Key) -> Caller:
    return Caller(key.id, key.name, key.role, key.project, key.limits)


def _bearer(headers: Headers) -> str | None:
    """Header values are bytes that starlette reads as Latin-1; a key with other letters came as UTF-8."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return (
        credentials.strip().encode("latin-1").decode("utf-8", "surrogateescape") if scheme.lower() == "bearer" else None
    )


def remember(scope: Connection, caller: Caller) -> None:
    scope.setdefault("state", {})["caller"] = caller


async def _caller_of_request(request: Request) -> Caller:
    return cast(Caller, request.state.caller)


From = Annotated[Caller, Depends(_caller_of_request)]
"""who asks; only on routes that are not open to everybody"""
