"""`/v1/evals`: what is to be measured, and `/runs`: measuring it, as durable jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from chiliad.errors import DataError, EvalError, FileMissing, FileRefused, JobNotFound
from chiliad.server.caller import Caller, From
from chiliad.server.errors import HttpError
from chiliad.server.eval_rows import EVAL_RUN, rows_of
from chiliad.server.eval_shapes import RUN_PREFIX, STATES, eval_on_wire, item_number, item_on_wire, run_on_wire
from chiliad.server.job_ids import find_job, job_id
from chiliad.server.opened import Opened
from chiliad.server.state import State
from chiliad.server.wire import evals as wire
from chiliad.server.wire.listing import After, InPath, Limit, Order, Page, page_of
from chiliad.store import Eval, ItemStatus, Job, Scope
from chiliad.workspace import Workspace

router = APIRouter(prefix="/v1/evals", tags=["evals"])

_SHOWN = {"pass": (ItemStatus.PASSED,), "fail": (ItemStatus.FAILED, ItemStatus.ERRORED)}


@router.post("", status_code=201)
async def create_eval(body: wire.EvalBody, workspace: Opened, caller: From) -> wire.Eval:
    return eval_on_wire(await asyncio.to_thread(workspace.evals.of(caller.scope).create, body.document()))


@router.get("")
async def list_evals(
    workspace: Opened, caller: From, after: After = None, limit: Limit = 20, order: Order = "asc"
) -> Page[wire.Eval]:
    evals = workspace.evals.of(caller.scope)
    look = partial(evals.page, after=after, limit=limit + 1, newest_first=order == "desc")
    found: list[Eval] = await asyncio.to_thread(look)
    return page_of(found, limit, eval_on_wire, lambda kept: kept.id)


@router.get("/{eval_id}")
async def retrieve_eval(eval_id: InPath, workspace: Opened, caller: From) -> wire.Eval:
    return eval_on_wire(await asyncio.to_thread(workspace.evals.of(caller.scope).get, eval_id))


@router.post("/{eval_id}")
async def update_eval(eval_id: InPath, body: wire.EvalChanges, workspace: Opened, caller: From) -> wire.Eval:
    """Its name and metadata; what is measured never changes."""
    changes = body.changes()
    return eval_on_wire(await asyncio.to_thread(workspace.evals.of(caller.scope).update, eval_id, changes))


@router.delete("/{eval_id}")
async def delete_eval(eval_id: InPath, workspace: Opened, caller: From) -> wire.EvalDeleted:
    """With its runs, which must have ended."""
    await asyncio.to_thread(_delete_eval, workspace, caller.scope, eval_id)
    return wire.EvalDeleted(object="eval.deleted", deleted=True, eval_id=eval_id)


@router.post("/{eval_id}/runs", status_code=201)
async def create_run(eval_id: InPath, body: wire.RunBody, workspace: Opened, state: State, caller: From) -> wire.Run:
    """Queue a run. Its rows are read now, so that what is wrong with them is told at once."""
    kept, source = await asyncio.to_thread(workspace.evals.of(caller.scope).get, eval_id), body.checked()
    judges = [criterion["model"] for criterion in kept.document["testing_criteria"] if "model" in criterion]
    for model in [source.model, *judges] if isinstance(source, wire.Sampled) else judges:
        await state.resolve(model)
    job = await asyncio.to_thread(_submitted, workspace, kept, source, body, caller)
    return await asyncio.to_thread(run_on_wire, workspace.evals, job)


@router.get("/{eval_id}/runs")
async def list_runs(
    eval_id: InPath,
    workspace: Opened,
    caller: From,
    after: After = None,
    limit: Limit = 20,
    order: Order = "asc",
    status: wire.RunStatus | None = None,
) -> Page[wire.Run]:
    look = partial(
        workspace.jobs.of(caller.scope).page,
        after=None if after is None else job_id(RUN_PREFIX, after),
        limit=limit + 1,
        newest_first=order == "desc",
        kind=EVAL_RUN,
        state=None if status is None else STATES[status],
        holding={("eval",): eval_id},
    )
    await asyncio.to_thread(workspace.evals.of(caller.scope).get, eval_id)
    found: list[Job] = await asyncio.to_thread(look)
    told = [await asyncio.to_thread(run_on_wire, workspace.evals, job) for job in found]
    return page_of(told, limit, lambda run: run, lambda run: run["id"])


@router.get("/{eval_id}/runs/{run_id}")
async def retrieve_run(eval_id: InPath, run_id: InPath, workspace: Opened, caller: From) -> wire.Run:
    return await _shown(workspace, caller.scope, eval_id, run_id, lambda job: job)


@router.post("/{eval_id}/runs/{run_id}", include_in_schema=False)
@router.post("/{eval_id}/runs/{run_id}/cancel")
async def cancel_run(eval_id: InPath, run_id: InPath, workspace: Opened, caller: From) -> wire.Run:
    """A running one is `in_progress` until its worker has heard of it, within a second or two."""
    return await _shown(workspace, caller.scope, eval_id, run_id, lambda job: workspace.jobs.cancel(job.id))


@router.delete("/{eval_id}/runs/{run_id}")
async def delete_run(eval_id: InPath, run_id: InPath, workspace: Opened, caller: From) -> wire.RunDeleted:
    """A run that has ended, with its items."""
    job = await asyncio.to_thread(_find, workspace, caller.scope, eval_id, run_id)
    await asyncio.to_thread(_delete_run, workspace, job)
    return wire.RunDeleted(object="eval.run.deleted", deleted=True, run_id=run_id)


@router.get("/{eval_id}/runs/{run_id}/output_items")
async def list_output_items(
    eval_id: InPath,
    run_id: InPath,
    workspace: Opened,
    caller: From,
    after: After = None,
    limit: Limit = 20,
    order: Order = "asc",
    status: Annotated[Literal["pass", "fail"] | None, Query(description="`fail` has those that went wrong.")] = None,
) -> Page[wire.OutputItem]:
    job = await asyncio.to_thread(_find, workspace, caller.scope, eval_id, run_id)
    look = partial(
        workspace.evals.items,
        job.id,
        after=None if after is None else item_number(job, after),
        limit=limit + 1,
        newest_first=order == "desc",
        statuses=tuple(ItemStatus) if status is None else _SHOWN[status],
    )
    told = [item_on_wire(job, item) for item in await asyncio.to_thread(look)]
    return page_of(told, limit, lambda item: item, lambda item: item["id"])


@router.get("/{eval_id}/runs/{run_id}/output_items/{output_item_id}")
async def retrieve_output_item(
    eval_id: InPath, run_id: InPath, output_item_id: InPath, workspace: Opened, caller: From
) -> wire.OutputItem:
    job = await asyncio.to_thread(_find, workspace, caller.scope, eval_id, run_id)
    number = item_number(job, output_item_id)
    return item_on_wire(job, await asyncio.to_thread(workspace.evals.item, job.id, number))


def _submitted(workspace: Workspace, kept: Eval, source: wire.Source, body: wire.RunBody, caller: Caller) -> Job:
    try:
        rows = rows_of(workspace.files.of(caller.scope), source)
    except (DataError, EvalError, FileMissing, FileRefused) as error:
        raise HttpError(400, "invalid_data_source", error.cause, fix=error.fix, param="data_source.source") from error
    if len(rows) > wire.ITEMS_MAX:
        cause = f"The source has {len(rows)} rows; a run takes {wire.ITEMS_MAX}."
        raise HttpError.bad_value("data_source.source", cause, fix="Take a part of them.")
    document = {
        "submitter": caller.id,
        "eval": kept.id,
        "name": body.name or "",
        "metadata": body.metadata,
        "testing_criteria": kept.document["testing_criteria"],
        "data_source": source.model_dump(exclude_none=True, by_alias=True),
    }
    return workspace.jobs.of(caller.scope).submit(EVAL_RUN, document)


def _find(workspace: Workspace, scope: Scope, eval_id: str, run_id: str) -> Job:
    """Raises JobNotFound, also for a run of another eval."""
    job = find_job(workspace.jobs.of(scope), EVAL_RUN, RUN_PREFIX, run_id)
    if job.document["eval"] != eval_id:
        raise JobNotFound(f"The eval {eval_id!r} has no run {run_id!r}.", fix="List its runs to see which there are.")
    return job


async def _shown(workspace: Workspace, scope: Scope, eval_id: str, run_id: str, move: Callable[[Job], Job]) -> wire.Run:
    job = await asyncio.to_thread(_find, workspace, scope, eval_id, run_id)
    return await asyncio.to_thread(lambda: run_on_wire(workspace.evals, move(job)))


def _delete_eval(workspace: Workspace, scope: Scope, eval_id: str) -> None:
    workspace.evals.of(scope).get(eval_id)
    while runs := workspace.jobs.page(kind=EVAL_RUN, holding={("eval",): eval_id}):
        for job in runs:
            _delete_run(workspace, job)
    workspace.evals.delete(eval_id)


def _delete_run(workspace: Workspace, job: Job) -> None:
    workspace.jobs.delete(job.id)
    workspace.evals.delete_items(job.id)
