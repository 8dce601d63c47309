"""`/metrics`: the server's meters in the text format of Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from chiliad.server.state import State

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(state: State) -> Response:
    """Counters begin at 0 with the process."""
    return Response(state.meters.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
