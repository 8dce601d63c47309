"""For supervisors: is the process alive, can it answer, which version is it."""

from __future__ import annotations

from fastapi import APIRouter
from typing_extensions import TypedDict

import chiliad
from chiliad.server.errors import HttpError
from chiliad.server.state import State

router = APIRouter(tags=["health"])


class Status(TypedDict):
    status: str


class Version(TypedDict):
    version: str


@router.get("/health")
async def health() -> Status:
    """200 as long as the process answers at all."""
    return Status(status="ok")


@router.get("/ready")
async def ready(state: State) -> Status:
    """200 when requests are taken, 503 during shutdown and when the engine of a base has ended."""
    state.refuse_if_closing()
    if not state.service.is_ready():
        raise HttpError(
            503, "not_ready", "A base model's engine has stopped.", fix="Start the server again; its log says why."
        )
    return Status(status="ready")


@router.get("/version")
async def version() -> Version:
    return Version(version=chiliad.__version__)
