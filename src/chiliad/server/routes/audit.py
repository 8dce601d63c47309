"""`/v1/admin/audit`: who did what."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from typing_extensions import TypedDict

from chiliad.server.state import State
from chiliad.store import AuditEntry

LIMIT_MAX = 1000
NUMBER_MAX = (1 << 31) - 1

router = APIRouter(prefix="/v1/admin/audit", tags=["admin"])


class AuditOnWire(TypedDict):
    object: Literal["audit.entry"]
    number: int
    at: float
    """seconds since 1970"""
    actor: str
    action: str
    subject: str
    details: dict[str, Any]


class AuditPage(TypedDict):
    object: Literal["list"]
    data: list[AuditOnWire]
    has_more: bool


@router.get("")
async def list_audit(
    state: State,
    before: Annotated[int | None, Query(ge=1, le=NUMBER_MAX)] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 100,
) -> AuditPage:
    """The newest first; `before` a number, for the next page."""
    entries = await asyncio.to_thread(state.accounts.audit.page, before=before, limit=limit)
    has_more = bool(entries) and entries[-1].number > 1
    return AuditPage(object="list", data=[_on_wire(entry) for entry in entries], has_more=has_more)


def _on_wire(entry: AuditEntry) -> AuditOnWire:
    return AuditOnWire(
        object="audit.entry",
        number=entry.number,
        at=entry.at_s,
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        details=dict(entry.details),
    )
