"""What a workspace can be asked to do in the background: trainings and evaluations, and how they are done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from chiliad.adapters import AdapterKind
from chiliad.base import DEFAULT_BASE
from chiliad.config import Precision
from chiliad.data import Amended, Columns, Dataset
from chiliad.evals import EvalOptions
from chiliad.store import Document, Job, Jobs
from chiliad.store.jobs import key_conflict
from chiliad.training import Method
from chiliad.workspace.assignment import Assignment
from chiliad.workspace.options import TrainOptions
from chiliad.workspace.teaching import taught

if TYPE_CHECKING:
    from chiliad.workspace.given import Data
    from chiliad.workspace.workspace import Workspace


TRAIN, CORRECT, EVALUATE = "train", "correct", "evaluate"


class WorkspaceJobs(Jobs):
    """`ws.jobs`: submit here, look and steer with the methods of `Jobs`; `chiliad worker` or `chiliad serve` does them."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.store.database)
        self._workspace = workspace

    def train(
        self,
        name: str,
        data: Data,
        *,
        base: str = DEFAULT_BASE,
        options: TrainOptions | None = None,
        key: str | None = None,
        **table: Any,
    ) -> Job:
        """Queue what `Workspace.train` does. The data is read, checked and frozen now, and not needed any more after.

        `table` may hold test, input, output, group and instruction. The same `key` again gives the same job. Raises
        what reading raises, and JobConflict.
        """
        known = self.by_key(key) if key else None
        if known is not None:
            if (known.kind, known.document.get("name")) != (TRAIN, name):
                raise key_conflict(known)
            return known
        assignment = self._workspace.assign(name, data, base=base, options=options, **table)
        return self.submit(TRAIN, to_document(assignment), key=key)

    def correct(
        self, name: str, corrections: Data, *, options: TrainOptions | None = None, key: str | None = None
    ) -> Job:
        """Queue what `Workspace.correct` does, with the version that is live now and corrections that are read now.

        The same `key` again gives the same job. Raises what reading raises, ExpertNotFound, UnusableData, JobConflict.
        """
        known = self.by_key(key) if key else None
        if known is not None:
            if (known.kind, known.document.get("name")) != (CORRECT, name):
                raise key_conflict(known)
            return known
        return self.submit(CORRECT, to_document(self._workspace.amend(name, corrections, options=options)), key=key)

    def evaluate(self, reference: str, *, key: str | None = None) -> Job:
        """Queue what `Workspace.evaluate` does with a version's own test rows. Raises ExpertNotFound, JobConflict."""
        return self.submit(EVALUATE, {"expert": str(self._workspace.registry.get(reference).ref)}, key=key)


@contextmanager
def train(workspace: Workspace, job: Job) -> Iterator[Document]:
    """A version afresh, or one that continues from another with corrections, as the document says."""
    with taught(workspace, from_document(workspace, job.document)) as expert:
        refusal = expert.refusal.cause if expert.refusal else None
        compared = f"Against version {expert.comparison.live}: {expert.comparison}." if expert.comparison else None
        yield {
            "expert": str(expert.ref),
            "live": refusal is None,
            "refusal": refusal,
            "comparison": compared,
            "warning": expert.warning,
        }


@contextmanager
def evaluate(workspace: Workspace, job: Job) -> Iterator[Document]:
    card = workspace.evaluate(workspace.expert(job.document["expert"]))
    yield {"expert": job.document["expert"], "verdict": card.verdict.line}


def to_document(assignment: Assignment) -> Document:
    columns = assignment.columns
    return {
        "name": assignment.name,
        "dataset": assignment.dataset.hash,
        "base": assignment.base,
        "options": asdict(assignment.options),
        "columns": {"inputs": list(columns.inputs), "output": columns.output} if columns else None,
        "fine_tuned_model": assignment.fine_tuned_model,
        "parent": str(assignment.parent.ref) if assignment.parent else None,
        "corrections": _told(assignment.corrections) if assignment.corrections else None,
    }


def from_document(workspace: Workspace, document: Mapping[str, Any]) -> Assignment:
    """What `to_document` wrote. Raises UnreadableFile, ExpertNotFound: its dataset or its parent is gone."""
    columns, parent = document["columns"], document.get("parent")
    dataset, corrected = workspace.dataset(document["dataset"]), document.get("corrections")
    return Assignment(
        name=document["name"],
        dataset=dataset,
        base=document["base"],
        options=_options(document["options"]),
        columns=Columns(tuple(columns["inputs"]), columns["output"]) if columns else None,
        parent=workspace.registry.get(parent) if parent else None,
        corrections=_amended(dataset, corrected) if corrected else None,
        fine_tuned_model=document.get("fine_tuned_model"),
    )


def _told(amended: Amended) -> Document:
    return {
        "used": [example.id for example in amended.used],
        "of_test_rows": amended.of_test_rows,
        "blank": amended.blank,
    }


def _amended(dataset: Dataset, told: Mapping[str, Any]) -> Amended:
    used = set(told["used"])
    return Amended(dataset, tuple(one for one in dataset.train if one.id in used), told["of_test_rows"], told["blank"])


def _options(told: Mapping[str, Any]) -> TrainOptions:
    """Jobs that were queued before there were kinds are LoRA's, and those before there were methods say nothing of them."""
    method, precision = told.get("method"), told.get("base_precision")
    meant = {
        "kind": AdapterKind(told.get("kind", AdapterKind.LORA)),
        "method": Method(method) if method else None,
        "base_precision": Precision(precision) if precision else None,
        "evaluation": EvalOptions(**told["evaluation"]),
    }
    return TrainOptions(**{**told, **meant})
