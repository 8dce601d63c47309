"""`/ledger`: what answers cost."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from chiliad.ledger import cost_report
from chiliad.server.caller import From
from chiliad.server.state import State
from chiliad.server.web.origin import OUR_FORMS
from chiliad.server.web.render import page
from chiliad.store import Period

DAY_S = 24 * 3600
SPANS = (7, 30, 90, 365)
"""days that one can look back on"""

router = APIRouter(include_in_schema=False, dependencies=OUR_FORMS)


@router.get("/ledger")
async def ledger(
    request: Request, state: State, caller: From, days: Annotated[int, Query(ge=1, le=SPANS[-1])] = 30
) -> HTMLResponse:
    """Of all projects for an admin, and otherwise of the caller's own: what `/v1/costs` gives."""
    accounts = state.accounts
    await asyncio.to_thread(accounts.recorder.flush)
    period = Period(since_s=accounts.clock() - days * DAY_S)
    report = partial(cost_report, accounts, state.service, period=period, project=caller.sees)
    found = await asyncio.to_thread(report)
    return page(request, "ledger.html", report=found, days=days, spans=SPANS, span_days=_days(accounts.clock(), days))


def _days(now_s: float, count: int) -> list[date]:
    """Those that the period touches, up to today, as the ledger counts them: in UTC."""
    today = datetime.fromtimestamp(now_s, UTC).date()
    return [today - timedelta(days=back) for back in range(count, -1, -1)]
