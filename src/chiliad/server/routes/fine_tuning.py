"""`/v1/fine_tuning/jobs`: trainings as durable jobs, whose models answer under names of their own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Request

from chiliad.errors import DataError, ExpertNotFound, FileMissing, FileRefused, RegistryError
from chiliad.server.caller import Caller, From
from chiliad.server.errors import HttpError
from chiliad.server.fine_tuned import PREFIX, checkpoints, event_number, event_on_wire, job_on_wire
from chiliad.server.job_ids import find_job, job_id
from chiliad.server.opened import Opened
from chiliad.server.wire import fine_tuning as wire
from chiliad.server.wire.listing import After, InPath, Limit, Page, page_of
from chiliad.store import Job, JobEvent, Scope
from chiliad.workspace import Workspace
from chiliad.workspace.fine_tuning import KIND, FineTuning, submit

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["fine-tuning"])

METADATA_KEY = re.compile(r"""metadata\[[^]"\\\0]{1,64}\]""")

Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]


@router.post("")
async def create_job(body: wire.FineTuningBody, workspace: Opened, caller: From, key: Key = None) -> wire.FineTuningJob:
    """Queue a training. The files are read and checked now, so that what is wrong with them is told at once.

    The same Idempotency-Key again gives the same job.
    """
    body.refuse_missing()
    job = await asyncio.to_thread(_submitted, workspace, body.asked(), caller.scope, key)
    return await _told(workspace, job)


@router.get("")
async def list_jobs(
    request: Request, workspace: Opened, caller: From, after: After = None, limit: Limit = 20
) -> Page[wire.FineTuningJob]:
    """The newest first; `metadata[k]=v` picks those with that metadata."""
    beyond, holding = None if after is None else job_id(PREFIX, after), _metadata_asked(request.query_params)
    jobs = workspace.jobs.of(caller.scope)
    look = partial(jobs.page, after=beyond, limit=limit + 1, kind=KIND, holding=holding)
    found = await asyncio.to_thread(look)
    told = [await _told(workspace, job) for job in found]
    return page_of(told, limit, lambda job: job, lambda job: job["id"])


@router.get("/{fine_tuning_job_id}")
async def retrieve_job(fine_tuning_job_id: InPath, workspace: Opened, caller: From) -> wire.FineTuningJob:
    return await _told(workspace, await _found(workspace, caller, fine_tuning_job_id))


@router.post("/{fine_tuning_job_id}/cancel")
async def cancel_job(fine_tuning_job_id: InPath, workspace: Opened, caller: From) -> wire.FineTuningJob:
    """End it for good. A running one is `running` until its worker has heard of it, within a second or two."""
    return await _moved(workspace, caller, fine_tuning_job_id, workspace.jobs.cancel)


@router.post("/{fine_tuning_job_id}/pause")
async def pause_job(fine_tuning_job_id: InPath, workspace: Opened, caller: From) -> wire.FineTuningJob:
    """Lay it down; it continues from its checkpoint when it is resumed."""
    return await _moved(workspace, caller, fine_tuning_job_id, workspace.jobs.pause)


@router.post("/{fine_tuning_job_id}/resume")
async def resume_job(fine_tuning_job_id: InPath, workspace: Opened, caller: From) -> wire.FineTuningJob:
    return await _moved(workspace, caller, fine_tuning_job_id, workspace.jobs.resume)


@router.get("/{fine_tuning_job_id}/events")
async def list_events(
    fine_tuning_job_id: InPath, workspace: Opened, caller: From, after: After = None, limit: Limit = 20
) -> Page[wire.Event]:
    """The newest first."""
    job = await _found(workspace, caller, fine_tuning_job_id)
    before = None if after is None else event_number(job, after)
    look = partial(workspace.jobs.latest_events, job.id, before=before, limit=limit + 1)
    found: list[JobEvent] = await asyncio.to_thread(look)
    told = [event_on_wire(job, event) for event in found]
    return page_of(told, limit, lambda event: event, lambda event: event["id"])


@router.get("/{fine_tuning_job_id}/checkpoints")
async def list_checkpoints(
    fine_tuning_job_id: InPath, workspace: Opened, caller: From, after: After = None, limit: Limit = 10
) -> Page[wire.Checkpoint]:
    """The weights of the best epoch, which are those of the model; others are not kept."""
    job = await _found(workspace, caller, fine_tuning_job_id)
    found = [] if after is not None else await asyncio.to_thread(checkpoints, workspace, job)
    return page_of(found, limit, lambda one: one, lambda one: one["id"])


def _metadata_asked(query: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Raises HttpError (400) for a key or a value that no job can have."""
    asked = {name: value for name, value in query.items() if name.startswith("metadata")}
    for name, value in asked.items():
        if not METADATA_KEY.fullmatch(name) or "\0" in value:
            raise HttpError.bad_value("metadata", "It is no key with a value.", fix="Write metadata[KEY]=VALUE.")
    return {("asked", "metadata", name[len("metadata[") : -1]): value for name, value in asked.items()}


def _submitted(workspace: Workspace, asked: FineTuning, scope: Scope, key: str | None) -> Job:
    try:
        return submit(workspace, asked, scope=scope, key=key)
    except (DataError, FileMissing, FileRefused) as error:
        named = asked.validation_file
        param = "validation_file" if named is not None and named in error.cause else "training_file"
        code = "invalid_training_file" if param == "training_file" else "invalid_validation_file"
        raise HttpError(400, code, error.cause, fix=error.fix, param=param) from error
    except ExpertNotFound:
        raise  # the fine-tuned model to continue from
    except RegistryError as error:
        raise HttpError.bad_value("suffix", error.cause, fix=error.fix) from error


async def _found(workspace: Workspace, caller: Caller, text: str) -> Job:
    return await asyncio.to_thread(find_job, workspace.jobs.of(caller.scope), KIND, PREFIX, text)


async def _moved(workspace: Workspace, caller: Caller, text: str, move: Callable[[str], Job]) -> wire.FineTuningJob:
    job = await _found(workspace, caller, text)
    return await _told(workspace, await asyncio.to_thread(move, job.id))


async def _told(workspace: Workspace, job: Job) -> wire.FineTuningJob:
    return await asyncio.to_thread(job_on_wire, workspace.jobs, job)
