"""Every kind of job that a workspace's own worker knows, and how it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeAlias

from chiliad.errors import JobError
from chiliad.store import Document, Job
from chiliad.workspace.fine_tuning import KIND as FINE_TUNING
from chiliad.workspace.fine_tuning import fine_tune
from chiliad.workspace.jobs import CORRECT, EVALUATE, TRAIN, evaluate, train
from chiliad.workspace.suggestions import SUGGEST, suggest

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace

Kinds: TypeAlias = Mapping[str, Callable[["Workspace", Job], AbstractContextManager[Document]]]
"""Entering does the job and gives its result, which is recorded in the block. What would repeat the end of the job stays
until the block has ended well, so that a job whose end was not recorded is not done twice."""

KINDS: Kinds = {
    TRAIN: train,
    CORRECT: train,
    EVALUATE: evaluate,
    FINE_TUNING: fine_tune,
    SUGGEST: suggest,
}


def carry_out(workspace: Workspace, job: Job, kinds: Kinds = KINDS) -> AbstractContextManager[Document]:
    """Do a job when this is entered. Its progress goes to the workspace's reporter. Raises JobError."""
    if job.kind not in kinds:
        raise JobError(f"This version of Chiliad has no job {job.kind!r}.", fix="Upgrade it, or cancel the job.")
    return kinds[job.kind](workspace, job)
