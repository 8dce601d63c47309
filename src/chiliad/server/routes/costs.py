"""`/v1/costs`: what answers cost, per expert, per key and per day."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query

from chiliad.ledger import CostReport, cost_report
from chiliad.ledger.elsewhere import HOSTED
from chiliad.server.caller import From
from chiliad.server.state import State
from chiliad.server.wire.listing import WITHOUT_NUL
from chiliad.server.wire.text import Text
from chiliad.store import Period

SECONDS_MAX = 1e12
HOSTED_MAX = 20

router = APIRouter(prefix="/v1/costs", tags=["costs"])

Seconds = Annotated[float | None, Query(ge=0, le=SECONDS_MAX, allow_inf_nan=False)]


@router.get("")
async def costs(
    state: State,
    caller: From,
    since: Seconds = None,
    until: Seconds = None,
    project: Annotated[Text | None, Query(max_length=64, pattern=WITHOUT_NUL)] = None,
    hosted: Annotated[list[Annotated[Text, Query(max_length=100)]] | None, Query(max_length=HOSTED_MAX)] = None,
) -> CostReport:
    """Of all projects for an admin who names none, and otherwise of the caller's own. Times are seconds since 1970."""
    accounts = state.accounts
    await asyncio.to_thread(accounts.recorder.flush)
    report = partial(cost_report, accounts, state.service, period=Period(since, until), hosted=hosted or HOSTED)
    return await asyncio.to_thread(report, project=caller.sees or project)
