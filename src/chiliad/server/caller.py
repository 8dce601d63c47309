"""Who asks, on every request: a key, a browser that signed in, or on an open server anybody."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from chiliad.errors import KeyNotFound
from chiliad.ledger import Accounts
from chiliad.store import DEFAULT_PROJECT, Key, Limits, Role

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


ANYBODY = Caller("anybody", "anybody on this machine", Role.APP, DEFAULT_PROJECT)
BOOTSTRAP = Caller("bootstrap", "CHILIAD_API_KEY", Role.ADMIN, DEFAULT_PROJECT)
ADMIN_LINK = Caller("admin-link", "the admin link", Role.ADMIN, DEFAULT_PROJECT)


class Callers:
    """Tells who a request comes from. Reads the database, so that a revoked key is refused at once, by every server."""

    def __init__(self, accounts: Accounts, *, api_key: str | None, open_until_keys: bool) -> None:
        """With `open_until_keys` requests without a key are answered as long as no key was ever made."""
        self._accounts = accounts
        self._api_key = api_key.encode() if api_key else None
        self._open = open_until_keys and api_key is None

    def of(self, headers: Headers) -> Caller | None:
        """None for whoever has no valid key and needs one. Called on worker threads."""
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
        return Caller(key.id, key.name, key.role, key.project, key.limits)

    def _is_open(self) -> bool:
        """Once there was a key, it never is again."""
        self._open = self._open and not self._accounts.keys.exist()
        return self._open


def _bearer(headers: Headers) -> str | None:
    """Header values are bytes that starlette reads as Latin-1; a key with other letters came as UTF-8."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return (
        credentials.strip().encode("latin-1").decode("utf-8", "surrogateescape") if scheme.lower() == "bearer" else None
    )


def remember(scope: Scope, caller: Caller) -> None:
    scope.setdefault("state", {})["caller"] = caller


async def _caller_of_request(request: Request) -> Caller:
    return cast(Caller, request.state.caller)


From = Annotated[Caller, Depends(_caller_of_request)]
"""who asks; only on routes that are not open to everybody"""
