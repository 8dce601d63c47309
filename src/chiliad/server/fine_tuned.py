"""A fine-tuning job, its events and its checkpoint, from our shapes to OpenAI's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chiliad.errors import ExpertNotFound
from chiliad.registry.fine_tuned import PREFIX as FINE_TUNED
from chiliad.server.errors import HttpError
from chiliad.server.job_ids import id_on_wire
from chiliad.server.wire import fine_tuning as wire
from chiliad.store import Job, JobEvent, Jobs, JobState
from chiliad.training.recipe import BETA
from chiliad.workspace import Workspace
from chiliad.workspace.fine_tuning import best_step

PREFIX = "ftjob-"
EVENT_PREFIX = "ftevent-"
CHECKPOINT_PREFIX = "ftckpt-"

_STATUS: Mapping[JobState, wire.Status] = {
    JobState.QUEUED: "queued",
    JobState.RUNNING: "running",
    JobState.PAUSED: "paused",
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}


def job_on_wire(jobs: Jobs, job: Job) -> wire.FineTuningJob:
    asked: Mapping[str, Any] = job.document["asked"]
    result: Mapping[str, Any] = job.result or {}
    used = _hyperparameters(asked, result)
    name = job.document["fine_tuned_model"]
    return wire.FineTuningJob(
        id=id_on_wire(PREFIX, job),
        object="fine_tuning.job",
        created_at=int(job.created_s),
        estimated_finish=_estimated_finish(jobs, job),
        finished_at=None if job.finished_s is None else int(job.finished_s),
        model=asked["model"] if asked["model"].startswith(FINE_TUNED) else job.document["base"],
        asked_model=asked["model"],
        fine_tuned_model=name if job.state is JobState.SUCCEEDED else None,
        organization_id=name.split(":")[2],
        status=_STATUS[job.state],
        training_file=asked["training_file"],
        validation_file=asked["validation_file"],
        result_files=[result["result_file"]] if result else [],
        trained_tokens=result.get("trained_tokens"),
        hyperparameters=used,
        method=_method(asked, result, used),
        seed=asked["seed"],
        integrations=[],
        metadata=asked["metadata"],
        error=_error(job),
        expert=result.get("expert"),
        live=result.get("live"),
    )


def event_on_wire(job: Job, event: JobEvent) -> wire.Event:
    data = _metrics(event.data) if event.data is not None and "step" in event.data else event.data
    failed = job.state is JobState.FAILED and event.text.startswith("Failed")
    return wire.Event(
        id=f"{id_on_wire(EVENT_PREFIX, job)}-{event.number}",
        object="fine_tuning.job.event",
        created_at=int(event.at_s),
        level="error" if failed else "info",
        message=_message(event),
        type="metrics" if data is not None and "step" in data else "message",
        data=None if data is None else dict(data),
    )


def event_number(job: Job, text: str) -> int:
    """The number of one of the job's events. Raises HttpError (400)."""
    prefix = f"{id_on_wire(EVENT_PREFIX, job)}-"
    number = text.removeprefix(prefix)
    if not text.startswith(prefix) or not number.isascii() or not number.isdigit() or len(number) > 9:
        raise HttpError.bad_value("after", "It is not the id of one of this job's events.", fix="Leave it out.")
    return int(number)


def checkpoints(workspace: Workspace, job: Job) -> list[wire.Checkpoint]:
    """One for a job that has succeeded, as long as its version is there."""
    if job.state is not JobState.SUCCEEDED:
        return []
    name = job.document["fine_tuned_model"]
    try:
        version = workspace.registry.get(name)
    except ExpertNotFound:
        return []
    step, told = best_step(version), version.training
    return [
        wire.Checkpoint(
            id=id_on_wire(CHECKPOINT_PREFIX, job),
            object="fine_tuning.job.checkpoint",
            created_at=int(version.created.timestamp()),
            fine_tuned_model_checkpoint=name,
            fine_tuning_job_id=id_on_wire(PREFIX, job),
            step_number=step,
            metrics=_figures(step, _last_before(told["loss"], step), _last_before(told["dev_loss"], step)),
        )
    ]


def _hyperparameters(asked: Mapping[str, Any], result: Mapping[str, Any]) -> wire.HyperparametersUsed:
    """What was asked for; once it is done, what was chosen where "auto" was asked for."""
    return wire.HyperparametersUsed(
        n_epochs=asked["n_epochs"] or result.get("n_epochs") or "auto",
        batch_size=asked["batch_size"] or result.get("batch_size") or "auto",
        learning_rate_multiplier=asked["learning_rate_multiplier"] or (1.0 if result else "auto"),
    )


def _method(asked: Mapping[str, Any], result: Mapping[str, Any], used: wire.HyperparametersUsed) -> wire.MethodUsed:
    """Jobs that were queued before there was a choice are supervised."""
    if asked.get("method") != "dpo":
        return {"type": "supervised", "supervised": {"hyperparameters": used}}
    return {"type": "dpo", "dpo": {"hyperparameters": {**used, "beta": asked["beta"] or (BETA if result else "auto")}}}


def _estimated_finish(jobs: Jobs, job: Job) -> int | None:
    if job.state is not JobState.RUNNING:
        return None
    newest = jobs.latest_events(job.id, limit=1)[0]
    left_s = (newest.data or {}).get("seconds_left")
    return None if left_s is None else int(newest.at_s + left_s)


def _error(job: Job) -> wire.JobError | None:
    if job.error is None:
        return None
    return wire.JobError(code=job.error["code"], message=f"{job.error['cause']} {job.error['fix']}", param=None)


def _message(event: JobEvent) -> str:
    data = event.data or {}
    if "step" not in data:
        return event.text
    loss = "" if data.get("loss") is None else f": training loss={data['loss']:.4f}"
    held_out = "" if data.get("dev_loss") is None else f", validation loss={data['dev_loss']:.4f}"
    return f"Step {data['step']}/{data['steps']}{loss}{held_out}"


def _metrics(data: Mapping[str, Any]) -> dict[str, Any]:
    """In OpenAI's words, and the share of held-out rows that are answered exactly."""
    figures = _figures(data["step"], data.get("loss"), data.get("dev_loss"))
    ours = {"valid_exact": data.get("dev_exact"), "epoch": data["epoch"], "total_steps": data["steps"]}
    return {name: value for name, value in {**figures, **ours}.items() if value is not None}


def _figures(step: int, train_loss: float | None, valid_loss: float | None) -> wire.Metrics:
    """Accuracy by token is not measured. All held-out rows are scored each time, so both losses of them are one."""
    return wire.Metrics(
        step=step,
        train_loss=train_loss,
        train_mean_token_accuracy=None,
        valid_loss=valid_loss,
        valid_mean_token_accuracy=None,
        full_valid_loss=valid_loss,
        full_valid_mean_token_accuracy=None,
    )


def _last_before(points: list[tuple[int, float]], step: int) -> float | None:
    return next((value for at, value in reversed(points) if at <= step), None)
