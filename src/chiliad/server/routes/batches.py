"""`/v1/batches`: a file of requests, answered in the background by the same engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter

from chiliad.errors import DataError, FileMissing, FileRefused
from chiliad.server.batch_answers import settle
from chiliad.server.batch_lines import BATCH, WINDOW_S, lines_of, output_ids, versions_in
from chiliad.server.caller import Caller, From
from chiliad.server.errors import HttpError
from chiliad.server.job_ids import find_job, id_on_wire, job_id
from chiliad.server.opened import Opened
from chiliad.server.wire import batches as wire
from chiliad.server.wire.listing import After, InPath, Limit, Page, page_of
from chiliad.store import Job, JobState, Wish
from chiliad.workspace import Workspace

PREFIX = "batch_"

router = APIRouter(prefix="/v1/batches", tags=["batches"])

_STATUS: Mapping[JobState, wire.Status] = {
    JobState.QUEUED: "validating",
    JobState.RUNNING: "in_progress",
    JobState.PAUSED: "paused",
    JobState.SUCCEEDED: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}


@router.post("")
async def create_batch(body: wire.BatchBody, workspace: Opened, caller: From) -> wire.Batch:
    """Queue a batch. Its file is read now, so that a row that is no request is told at once."""
    body.check()
    job = await asyncio.to_thread(_submitted, workspace, body, caller)
    return await asyncio.to_thread(_on_wire, workspace, job)


@router.get("")
async def list_batches(workspace: Opened, caller: From, after: After = None, limit: Limit = 20) -> Page[wire.Batch]:
    """The newest first."""
    beyond = None if after is None else job_id(PREFIX, after)
    jobs = workspace.jobs.of(caller.scope)
    found = await asyncio.to_thread(partial(jobs.page, after=beyond, limit=limit + 1, kind=BATCH))
    told = [await asyncio.to_thread(_on_wire, workspace, job) for job in found]
    return page_of(told, limit, lambda batch: batch, lambda batch: batch["id"])


@router.get("/{batch_id}")
async def retrieve_batch(batch_id: InPath, workspace: Opened, caller: From) -> wire.Batch:
    job = await asyncio.to_thread(find_job, workspace.jobs.of(caller.scope), BATCH, PREFIX, batch_id)
    return await asyncio.to_thread(_on_wire, workspace, job)


@router.post("/{batch_id}/cancel")
async def cancel_batch(batch_id: InPath, workspace: Opened, caller: From) -> wire.Batch:
    """What is answered by then is in the output file."""
    job = await asyncio.to_thread(find_job, workspace.jobs.of(caller.scope), BATCH, PREFIX, batch_id)
    return await asyncio.to_thread(lambda: _on_wire(workspace, workspace.jobs.cancel(job.id)))


def _submitted(workspace: Workspace, body: wire.BatchBody, caller: Caller) -> Job:
    try:
        lines = lines_of(workspace.files.of(caller.scope), body.input_file_id, body.endpoint)
    except (DataError, FileMissing, FileRefused) as error:
        raise HttpError(400, "invalid_batch_file", error.cause, fix=error.fix, param="input_file_id") from error
    kept = body.output_expires_after
    document = {
        "submitter": caller.id,
        "input_file": body.input_file_id,
        "endpoint": body.endpoint,
        "window": body.completion_window,
        "metadata": body.metadata,
        "total": len(lines),
        "versions": versions_in(lines),
        "expires_s": time.time() + WINDOW_S,
        "output_expires_after_s": None if kept is None else kept.seconds,
    }
    return workspace.jobs.of(caller.scope).submit(BATCH, document)


def _on_wire(workspace: Workspace, job: Job) -> wire.Batch:
    document, status = job.document, _status(job)
    if job.state in (JobState.CANCELLED, JobState.FAILED):
        settle(workspace, job)
    output, errors = (_known(workspace, file_id) for file_id in output_ids(job))
    finished = None if job.finished_s is None else int(job.finished_s)
    return wire.Batch(
        id=id_on_wire(PREFIX, job),
        object="batch",
        endpoint=document["endpoint"],
        errors=None if job.error is None else _errors(job.error),
        input_file_id=document["input_file"],
        completion_window=document["window"],
        status=status,
        output_file_id=output,
        error_file_id=errors,
        created_at=int(job.created_s),
        in_progress_at=None if job.started_s is None else int(job.started_s),
        expires_at=int(document["expires_s"]),
        finalizing_at=finished if status == "completed" else None,
        completed_at=finished if status == "completed" else None,
        failed_at=finished if status == "failed" else None,
        expired_at=finished if status == "expired" else None,
        cancelling_at=None,
        cancelled_at=finished if status == "cancelled" else None,
        request_counts=_counts(workspace, job),
        usage=job.result["usage"] if job.result and "usage" in job.result else None,
        metadata=document["metadata"],
    )


def _status(job: Job) -> wire.Status:
    if job.state is JobState.RUNNING and job.wish is Wish.CANCEL:
        return "cancelling"
    return "expired" if job.result and job.result["expired"] else _STATUS[job.state]


def _known(workspace: Workspace, file_id: str) -> str | None:
    try:
        return workspace.files.get(file_id).id
    except FileMissing:
        return None


def _counts(workspace: Workspace, job: Job) -> wire.RequestCounts:
    """Which of the answers under way are errors is told when the batch has ended."""
    if job.result is not None:
        counts = job.result
        return wire.RequestCounts(total=counts["total"], completed=counts["completed"], failed=counts["failed"])
    told = [event.data for event in workspace.jobs.latest_events(job.id) if event.data is not None]
    done = int(told[0]["done"]) if told else 0
    return wire.RequestCounts(total=job.document["total"], completed=done, failed=0)


def _errors(error: Mapping[str, Any]) -> wire.Errors:
    told = wire.BatchError(code=error["code"], message=f"{error['cause']} {error['fix']}", line=None, param=None)
    return wire.Errors(object="list", data=[told])
