"""`/v1/admin/keys`: keys as admins make and see them. A field that we do not know is refused: it may be a limit."""

from __future__ import annotations

from typing import Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from chiliad.server.wire.text import Text
from chiliad.store import DEFAULT_PROJECT, Key, Limits, Role

COUNT_MAX = (1 << 31) - 1


class KeyBody(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: Text = Field(max_length=512)
    role: Role = Role.APP
    project: Text = Field(default=DEFAULT_PROJECT, max_length=512)
    expires_at: float | None = Field(default=None, le=1e12)
    """seconds since 1970"""
    requests_per_minute: int | None = Field(default=None, ge=0, le=COUNT_MAX)
    tokens_per_minute: int | None = Field(default=None, ge=0, le=COUNT_MAX)
    spend_per_month: float | None = Field(default=None, ge=0)

    @property
    def limits(self) -> Limits:
        return Limits(self.requests_per_minute, self.tokens_per_minute, self.spend_per_month)


class KeyOnWire(TypedDict):
    id: str
    object: Literal["key"]
    name: str
    project: str
    role: Role
    prefix: str
    created_at: int
    """seconds since 1970, like the other times"""
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    spend_per_month: float | None
    secret: NotRequired[str]
    """only in the answer to the request that made the key"""


class KeyList(TypedDict):
    object: Literal["list"]
    data: list[KeyOnWire]


def key_on_wire(key: Key) -> KeyOnWire:
    return KeyOnWire(
        id=key.id,
        object="key",
        name=key.name,
        project=key.project,
        role=key.role,
        prefix=key.prefix,
        created_at=int(key.created_s),
        expires_at=_whole(key.expires_s),
        revoked_at=_whole(key.revoked_s),
        last_used_at=_whole(key.last_used_s),
        requests_per_minute=key.limits.requests_per_minute,
        tokens_per_minute=key.limits.tokens_per_minute,
        spend_per_month=key.limits.spend_per_month,
    )


def _whole(at_s: float | None) -> int | None:
    return None if at_s is None else int(at_s)
