"""Evals, their runs and items, from our shapes to OpenAI's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chiliad.server.errors import HttpError
from chiliad.server.job_ids import id_on_wire
from chiliad.server.wire import evals as wire
from chiliad.store import Eval, EvalItem, Evals, ItemStatus, Job, JobState

RUN_PREFIX = "evalrun_"
ITEM_PREFIX = "outputitem_"

STATES: Mapping[wire.RunStatus, JobState] = {
    "queued": JobState.QUEUED,
    "in_progress": JobState.RUNNING,
    "paused": JobState.PAUSED,
    "completed": JobState.SUCCEEDED,
    "failed": JobState.FAILED,
    "canceled": JobState.CANCELLED,
}
_STATUS: Mapping[JobState, wire.RunStatus] = {state: status for status, state in STATES.items()}


def eval_on_wire(kept: Eval) -> wire.Eval:
    document = kept.document
    return wire.Eval(
        id=kept.id,
        object="eval",
        created_at=int(kept.created_s),
        name=document["name"],
        data_source_config=document["data_source_config"],
        testing_criteria=document["testing_criteria"],
        metadata=document["metadata"],
    )


def run_on_wire(evals: Evals, job: Job) -> wire.Run:
    counts = evals.counts(job.id)
    result: Mapping[str, Any] = job.result or {}
    document = job.document
    return wire.Run(
        id=id_on_wire(RUN_PREFIX, job),
        object="eval.run",
        eval_id=document["eval"],
        created_at=int(job.created_s),
        name=document["name"],
        model=document["data_source"].get("model", ""),
        status=_STATUS[job.state],
        report_url="",
        data_source=document["data_source"],
        metadata=document["metadata"],
        error=None if job.error is None else _error(job.error),
        result_counts=wire.ResultCounts(
            total=counts.total(),
            passed=counts[ItemStatus.PASSED],
            failed=counts[ItemStatus.FAILED],
            errored=counts[ItemStatus.ERRORED],
        ),
        per_model_usage=result.get("usage", []),
        per_testing_criteria_results=result.get("criteria", []),
    )


def item_on_wire(job: Job, item: EvalItem) -> wire.OutputItem:
    return wire.OutputItem(
        id=f"{id_on_wire(ITEM_PREFIX, job)}_{item.number}",
        object="eval.run.output_item",
        created_at=int(item.at_s),
        eval_id=job.document["eval"],
        run_id=id_on_wire(RUN_PREFIX, job),
        status=item.status.value,
        datasource_item_id=item.number,
        datasource_item=item.document["item"],
        results=item.document["results"],
        sample=item.document["sample"],
    )


def item_number(job: Job, text: str) -> int:
    """Raises HttpError (404): what is not the id of one of the run's items is the id of none."""
    prefix = f"{id_on_wire(ITEM_PREFIX, job)}_"
    number = text.removeprefix(prefix)
    if not text.startswith(prefix) or not number.isascii() or not number.isdigit() or len(number) > 9:
        cause = f"The run has no item {text[:100]!r}."
        raise HttpError(404, "item_not_found", cause, fix="List the run's items to see which there are.")
    return int(number)


def _error(error: Mapping[str, Any]) -> wire.ApiError:
    return wire.ApiError(code=error["code"], message=f"{error['cause']} {error['fix']}")
