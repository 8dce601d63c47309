"""A whole server over a workspace on a tiny base, and a worker that does its jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from chiliad.config import Settings
from chiliad.server.job_kinds import KINDS
from chiliad.workspace import Workspace
from chiliad.workspace.worker import Worker
from tests.server.conftest import Running, running

HOSTED = {"gpt-*": "tiny", "text-embedding-*": "all-minilm-l6-v2"}


def with_hosted_names(settings: Settings) -> Settings:
    return replace(settings, hosted_models=HOSTED)


@contextmanager
def serving(settings: Settings) -> Iterator[Running]:
    with Workspace.open(settings) as workspace:
        service = workspace.service(bases=["tiny"])
        with running(service, settings.server, workspace=workspace) as served:
            yield served


def work(settings: Settings, **options) -> None:
    """Do all that is queued, as `chiliad worker --until-idle` does."""
    with Workspace.open(settings) as workspace:
        Worker(workspace, workspace.jobs, kinds=KINDS, **options).run(until_idle=True)


def json_lines(rows) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def chat(*turns: str, **last) -> dict:
    """A row of a fine-tuning file: user and assistant in turns."""
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    messages[-1] |= last
    return {"messages": messages}
