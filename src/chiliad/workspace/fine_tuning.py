"""Fine-tuning as OpenAI's clients ask for it: an uploaded file in, a version of an expert with a name of its own out."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from chiliad.data import Table, learned_turns, read_table, to_preferences
from chiliad.errors import FileRefused, JobConflict
from chiliad.registry import ExpertVersion
from chiliad.registry.fine_tuned import PREFIX, FineTunedName
from chiliad.store import EVERYTHING, Document, Job, Jobs, Purpose, Scope, Uploads, scope_of
from chiliad.store.jobs import key_conflict, new_job_id
from chiliad.training import Method
from chiliad.workspace.assignment import Assignment
from chiliad.workspace.jobs import to_document, train
from chiliad.workspace.options import TrainOptions
from chiliad.workspace.preferring import assign_preferences

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace

KIND = "fine_tune"
RESULT_COLUMNS = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy", "valid_exact")
"""OpenAI's, and the share of held-out rows that are answered exactly; what is not measured stays empty"""


@dataclass(frozen=True)
class FineTuning:
    """What a client asks for. Files are ids of uploads; hyperparameters that are None are chosen from the data.

    With the method DPO the files hold preferences, and what is tested are their preferred answers.

    `model` is a base, the name of a hosted model, or a fine-tuned model (`ft:...`), whose training is continued then.
    The rows of `validation_file` are the expert's test: its card is measured on them, and rows that the training file has
    too are not trained on. Without it a fifth of the training file is set aside.
    """

    model: str
    training_file: str
    validation_file: str | None = None
    suffix: str | None = None
    seed: int = 0
    n_epochs: int | None = None
    batch_size: int | None = None
    learning_rate_multiplier: float | None = None
    method: Method = Method.SUPERVISED
    beta: float | None = None
    metadata: Mapping[str, str] | None = None

    @property
    def options(self) -> TrainOptions:
        return TrainOptions(
            epochs=self.n_epochs,
            rows_per_batch=self.batch_size,
            learning_rate_multiplier=self.learning_rate_multiplier or 1.0,
            seed=self.seed,
            method=self.method,
            beta=self.beta,
        )


def submit(workspace: Workspace, asked: FineTuning, *, scope: Scope = EVERYTHING, key: str | None = None) -> Job:
    """Read, check and freeze the files, and queue the training. They are not needed any more after.

    The files have to be there in `scope`, and the job is its own. The same `key` again gives the same job. Raises
    FileMissing, FileRefused, DataError, RegistryError (of these, ExpertNotFound for a fine-tuned model that there is not),
    BaseModelError, JobConflict.
    """
    key = key and f"{KIND}:{scope.project}:{key}"
    jobs, files = workspace.jobs.of(scope), workspace.files.of(scope)
    known = _known(jobs, key, asked)
    if known is not None:
        return known
    job_id = new_job_id()
    parent = workspace.registry.get(asked.model) if asked.model.startswith(PREFIX) else None
    name = _name(workspace, asked, parent.base_id if parent else workspace.base_called(asked.model), job_id)
    assign = _examples if asked.method is Method.SUPERVISED else _preferences
    assignment = assign(workspace, files, asked, name, parent)
    document = {**to_document(assignment), "fine_tuned_model": str(name), "asked": asdict(asked)}
    try:
        return jobs.submit(KIND, document, key=key, job_id=job_id)
    except JobConflict:  # asked twice at the same time, each with an id of its own
        if known := _known(jobs, key, asked):
            return known
        raise


@contextmanager
def fine_tune(workspace: Workspace, job: Job) -> Iterator[Document]:
    """Train, evaluate and gate, and write the metrics into a file for the client."""
    with train(workspace, job) as trained:
        version = workspace.registry.get(trained["expert"])
        results = workspace.files.of(scope_of(job.project)).add(
            f"{job.id}.csv",
            Purpose.FINE_TUNE_RESULTS,
            iter([_metrics(version).encode()]),
            file_id=f"file-{job.id}",
        )
        told = version.training
        yield {
            **trained,
            "result_file": results.id,
            "trained_tokens": told["tokens"],
            "n_epochs": told["epochs"],
            "batch_size": told["rows_per_batch"],
            "best_step": best_step(version),
        }


def best_step(version: ExpertVersion) -> int:
    """After how many steps the version's weights were taken: the end of its best epoch."""
    told = version.training
    return int(told["steps"] if told["best_epoch"] is None else told["dev_loss"][told["best_epoch"] - 1][0])


def _known(jobs: Jobs, key: str | None, asked: FineTuning) -> Job | None:
    """Raises JobConflict if something else was asked with the key."""
    known = jobs.by_key(key) if key else None
    if known is None:
        return None
    before = known.document.get("asked")
    if before is None or FineTuning(**before) != asked:
        raise key_conflict(known)
    return known


def _name(workspace: Workspace, asked: FineTuning, base: str, job_id: str) -> FineTunedName:
    return FineTunedName(
        base=base,
        organization=workspace.settings.server.organization.replace(":", "-"),
        suffix=re.sub(r"[^a-z0-9._-]+", "-", (asked.suffix or "").lower()).strip("-._"),
        id=job_id.removeprefix("job-"),
    )


def _examples(
    workspace: Workspace, files: Uploads, asked: FineTuning, name: FineTunedName, parent: ExpertVersion | None
) -> Assignment:
    rows, group = learned_turns(_table(files, asked.training_file))
    tests = learned_turns(_table(files, asked.validation_file))[0] if asked.validation_file else None
    return workspace.assign(
        name.expert, rows, test=tests, group=group, base=name.base, options=asked.options, parent=parent
    )


def _preferences(
    workspace: Workspace, files: Uploads, asked: FineTuning, name: FineTunedName, parent: ExpertVersion | None
) -> Assignment:
    table = _table(files, asked.training_file)
    tests = to_preferences(_table(files, asked.validation_file)) if asked.validation_file else None
    return assign_preferences(
        workspace,
        name.expert,
        to_preferences(table),
        tests=tests,
        source=table.source,
        base=name.base,
        options=asked.options,
        start=parent,
    )


def _table(files: Uploads, file_id: str) -> Table:
    file = files.get(file_id)
    if file.purpose is not Purpose.FINE_TUNE:
        raise FileRefused(
            f"The file {file_id} was uploaded for {file.purpose}.", fix="Upload it with the purpose fine-tune."
        )
    return read_table(files.path(file))


def _metrics(version: ExpertVersion) -> str:
    """The result file, in OpenAI's columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, RESULT_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_steps(version.training))
    return text.getvalue()


def _steps(training: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    losses, dev = dict(training["loss"]), dict(training["dev_loss"])
    exact = dict(training["dev_exact"])
    for step in sorted({*losses, *dev}):
        yield {
            "step": step,
            "train_loss": losses.get(step, ""),
            "valid_loss": dev.get(step, ""),
            "valid_exact": exact.get(step, ""),
        }
