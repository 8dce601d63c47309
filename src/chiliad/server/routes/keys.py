"""`/v1/admin/keys`: who may ask, and how much."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from chiliad.server.state import State
from chiliad.server.wire.keys import KeyBody, KeyList, KeyOnWire, key_on_wire
from chiliad.server.wire.listing import InPath

router = APIRouter(prefix="/v1/admin/keys", tags=["admin"])


@router.post("")
async def create_key(body: KeyBody, state: State) -> KeyOnWire:
    """The answer holds the key's secret, which cannot be had again."""
    made = await asyncio.to_thread(
        state.accounts.keys.create,
        body.name,
        role=body.role,
        project=body.project,
        limits=body.limits,
        expires_s=body.expires_at,
    )
    return KeyOnWire(**key_on_wire(made.key), secret=made.secret)


@router.get("")
async def list_keys(state: State) -> KeyList:
    """All of them, the revoked ones too, the newest first."""
    return KeyList(object="list", data=[key_on_wire(key) for key in await asyncio.to_thread(state.accounts.keys.all)])


@router.delete("/{key_id}")
async def revoke_key(key_id: InPath, state: State) -> KeyOnWire:
    """It is refused from now on, and stays in the list."""
    return key_on_wire(await asyncio.to_thread(state.accounts.keys.revoke, key_id))
