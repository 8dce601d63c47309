"""What a workspace can be asked to do in the background: trainings and evaluations, and how they are done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from chiliad.base import DEFAULT_BASE
from chiliad.data import Columns
from chiliad.evals import EvalOptions
from chiliad.store import Document, Job, Jobs
from chiliad.store.jobs import key_conflict
from chiliad.workspace.assignment import Assignment
from chiliad.workspace.options import TrainOptions

if TYPE_CHECKING:
    from chiliad.workspace.given import Data
    from chiliad.workspace.workspace import Workspace


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
            if (known.kind, known.document.get("name")) != ("train", name):
                raise key_conflict(known)
            return known
        assignment = self._workspace.assign(name, data, base=base, options=options, **table)
        return self.submit("train", to_document(assignment), key=key)

    def evaluate(self, reference: str, *, key: str | None = None) -> Job:
        """Queue what `Workspace.evaluate` does with a version's own test rows. Raises ExpertNotFound, JobConflict."""
        return self.submit("evaluate", {"expert": str(self._workspace.registry.get(reference).ref)}, key=key)


def train(workspace: Workspace, job: Job) -> Document:
    expert = workspace.run(_assignment(workspace, job.document))
    refusal = expert.refusal.cause if expert.refusal else None
    return {"expert": str(expert.ref), "live": refusal is None, "refusal": refusal}


def evaluate(workspace: Workspace, job: Job) -> Document:
    card = workspace.evaluate(workspace.expert(job.document["expert"]))
    return {"expert": job.document["expert"], "verdict": card.verdict.line}


def to_document(assignment: Assignment) -> Document:
    columns = assignment.columns
    return {
        "name": assignment.name,
        "dataset": assignment.dataset.hash,
        "base": assignment.base,
        "options": asdict(assignment.options),
        "columns": {"inputs": list(columns.inputs), "output": columns.output} if columns else None,
        "fine_tuned_model": assignment.fine_tuned_model,
    }


def _assignment(workspace: Workspace, document: Mapping[str, Any]) -> Assignment:
    options, columns = document["options"], document["columns"]
    return Assignment(
        name=document["name"],
        dataset=workspace.dataset(document["dataset"]),
        base=document["base"],
        options=TrainOptions(**{**options, "evaluation": EvalOptions(**options["evaluation"])}),
        columns=Columns(tuple(columns["inputs"]), columns["output"]) if columns else None,
        fine_tuned_model=document.get("fine_tuned_model"),
    )
