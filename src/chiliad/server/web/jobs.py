"""`/jobs`: what is being done in the background, how far it is, and how to steer it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from chiliad.server.caller import From
from chiliad.server.opened import Opened
from chiliad.server.web.figures import training_curve
from chiliad.server.web.origin import OUR_FORMS
from chiliad.server.web.render import page
from chiliad.server.wire.listing import ID_PATTERN, InPath
from chiliad.store import Job, Jobs, JobState
from chiliad.store.jobs import OPEN

PAGE = 50
MESSAGES_SHOWN_MAX = 20

router = APIRouter(prefix="/jobs", include_in_schema=False, dependencies=OUR_FORMS)


@router.get("")
async def jobs(
    request: Request, workspace: Opened, caller: From, after: Annotated[str | None, Query(pattern=ID_PATTERN)] = None
) -> HTMLResponse:
    """The newest first."""
    found = await asyncio.to_thread(workspace.jobs.of(caller.scope).page, after=after, limit=PAGE + 1)
    content: dict[str, Any] = {"jobs": found[:PAGE], "older": found[PAGE - 1].id if len(found) > PAGE else None}
    return page(request, "jobs.html", **content, about=about, states=JobState)


@router.get("/{job_id}")
async def job(request: Request, workspace: Opened, caller: From, job_id: InPath) -> HTMLResponse:
    return page(request, "job.html", **await asyncio.to_thread(_told, workspace.jobs.of(caller.scope), job_id))


@router.get("/{job_id}/progress")
async def progress(request: Request, workspace: Opened, caller: From, job_id: InPath) -> HTMLResponse:
    """The part of the page that changes; it asks for itself again for as long as the job has not ended."""
    return page(request, "_progress.html", **await asyncio.to_thread(_told, workspace.jobs.of(caller.scope), job_id))


@router.post("/{job_id}/{move}")
async def steer(
    workspace: Opened, caller: From, job_id: InPath, move: Literal["pause", "resume", "cancel"]
) -> RedirectResponse:
    jobs = workspace.jobs.of(caller.scope)
    moves = {"pause": jobs.pause, "resume": jobs.resume, "cancel": jobs.cancel}
    moved = await asyncio.to_thread(moves[move], job_id)
    return RedirectResponse(f"/jobs/{moved.id}", 303)


def about(job: Job) -> str:
    """What a job is about: the expert, where its document names one."""
    named = job.document.get("name") or job.document.get("expert")
    return str(named) if isinstance(named, str) else ""


def _told(jobs: Jobs, job_id: str) -> dict[str, Any]:
    found, events = jobs.get(job_id), jobs.latest_events(job_id)
    messages = [event for event in events if event.data is None]
    now: Mapping[str, Any] = next((event.data for event in events if event.data is not None), {})
    return {
        "job": found,
        "about": about(found),
        "is_open": found.state in OPEN,
        "messages": messages[:MESSAGES_SHOWN_MAX],
        "now": now,
        "doing": next((event.text for event in events if event.data is not None), ""),
        "share": _share(now),
        "curve": training_curve(list(reversed(events))),
        "states": JobState,
    }


def _share(now: Mapping[str, Any]) -> float | None:
    """How far the present part of the work is; None if that is not known."""
    done, total = now.get("step", now.get("done")), now.get("steps", now.get("total"))
    return done / total if done is not None and total else None
