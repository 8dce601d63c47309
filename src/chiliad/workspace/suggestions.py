"""Experts that are missing: kinds of requests that nothing serves well, searched for in the background."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chiliad.data.example import normalise
from chiliad.feedback import kinds_of_request, last_request
from chiliad.store import Document, Job, JobState, KeptAnswer, scope_of

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace

SUGGEST = "suggest"
REQUESTS_MAX = 2000
"""the newest ones are looked at; finding kinds takes time and memory with the square of this"""


@dataclass(frozen=True)
class Suggestion:
    """answers: to requests of one kind, the most typical first"""

    answers: tuple[KeptAnswer, ...]

    @property
    def different(self) -> int:
        """How many of the requests differ in their words."""
        return len(self.typical)

    @property
    def examples(self) -> tuple[str, ...]:
        """The requests, those with the same words once."""
        return tuple(map(last_request, self.typical))

    @property
    def typical(self) -> tuple[KeptAnswer, ...]:
        """The answers, one for all requests with the same words."""
        by_words: dict[str, KeptAnswer] = {}
        for answer in self.answers:
            by_words.setdefault(normalise(last_request(answer)), answer)
        return tuple(by_words.values())


def submit(workspace: Workspace, project: str | None) -> Job:
    return workspace.jobs.of(scope_of(project)).submit(SUGGEST, {"project": project})


@contextmanager
def suggest(workspace: Workspace, job: Job) -> Iterator[Document]:
    """The result holds ids alone: what is deleted or purged later is gone from it, too."""
    found = workspace.feedback.answers.badly_served(project=job.document["project"], limit=REQUESTS_MAX)
    kinds = kinds_of_request({answer.id: last_request(answer) for answer in found}, workspace.embedder)
    yield {"looked_at": len(found), "kinds": kinds}


def latest(workspace: Workspace, project: str | None) -> list[Suggestion] | None:
    """What the newest search of the project found, as far as it is still kept; None before the first."""
    jobs = workspace.jobs.of(scope_of(project))
    done = jobs.page(kind=SUGGEST, state=JobState.SUCCEEDED, holding={("project",): project}, limit=1)
    if not done:
        return None
    result = done[0].result
    assert result is not None, "a job that succeeded has a result"
    kept = workspace.feedback.answers.some([one for kind in result["kinds"] for one in kind], project=project)
    kinds = (tuple(kept[one] for one in kind if one in kept) for kind in result["kinds"])
    return [Suggestion(kind) for kind in kinds if kind]
