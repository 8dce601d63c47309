"""Every kind of job that a workspace's own worker knows, and how it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from chiliad.errors import JobError
from chiliad.store import Document, Job
from chiliad.workspace.fine_tuning import KIND as FINE_TUNING
from chiliad.workspace.fine_tuning import fine_tune
from chiliad.workspace.jobs import evaluate, train

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace

Kinds: TypeAlias = Mapping[str, Callable[["Workspace", Job], Document]]

KINDS: Kinds = {"train": train, "evaluate": evaluate, FINE_TUNING: fine_tune}


def carry_out(workspace: Workspace, job: Job, kinds: Kinds = KINDS) -> Document:
    """Do a job, here and now, and return its result. Its progress goes to the workspace's reporter. Raises JobError."""
    if job.kind not in kinds:
        raise JobError(f"This version of Chiliad has no job {job.kind!r}.", fix="Upgrade it, or cancel the job.")
    return kinds[job.kind](workspace, job)
