"""Doing a batch: every request goes to the route that it names, and what came of it into two files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from itertools import takewhile
from uuid import uuid4

from chiliad.server.batch_answers import ANSWERS_FILE, EXPIRED, Answers, folder_of, write_files
from chiliad.server.batch_lines import lines_of
from chiliad.server.inside import Inside, some_at_once
from chiliad.server.wire.batches import Line
from chiliad.store import Document, Job, Wish
from chiliad.store.files import folder_lock, remove_folder
from chiliad.workspace import Workspace
from chiliad.workspace.worker import Stopped


@contextmanager
def do_batch(workspace: Workspace, job: Job, clock: Callable[[], float] = time.time) -> Iterator[Document]:
    """Answer what is not answered yet, until the batch expires. One that is cancelled still writes its files."""
    lines = lines_of(workspace.files, job.document["input_file"], job.document["endpoint"])
    folder = folder_of(workspace, job)
    with folder_lock(folder, wait=False):
        answers = Answers(folder / ANSWERS_FILE)
        try:
            asyncio.run(_do(workspace, job, lines, answers, clock))
        except Stopped as stopped:
            if stopped.wish is Wish.CANCEL:
                write_files(workspace, job, answers)
            raise
        finally:
            workspace.rest()
        write_files(workspace, job, answers)
        failed = len(answers.failed)
        counts = {"total": len(lines), "completed": len(answers.done) - failed, "failed": failed}
        yield {**counts, "usage": answers.usage, "expired": answers.expired}
    remove_folder(folder)


async def _do(
    workspace: Workspace, job: Job, lines: Sequence[Line], answers: Answers, clock: Callable[[], float]
) -> None:
    left = [line for line in lines if line.custom_id not in answers.done]
    in_time = takewhile(lambda _: clock() < job.document["expires_s"], left)
    with workspace.reporter as reporter:
        reporter.stage("requests", len(answers.done), len(lines))
        async with (
            Inside(workspace, job.document["submitter"]) as inside,
            aclosing(some_at_once(_answer(inside, line) for line in in_time)) as done,
        ):
            async for some in done:
                answers.add(some)
                reporter.stage("requests", len(answers.done), len(lines))
    late = [line for line in left if line.custom_id not in answers.done]
    answers.add([_answered(line, error=EXPIRED) for line in late])


async def _answer(inside: Inside, line: Line) -> Document:
    status, body = await inside.post(line.url, line.body)
    return _answered(line, response={"status_code": status, "request_id": f"req_{uuid4().hex}", "body": body})


def _answered(line: Line, *, response: Document | None = None, error: Document | None = None) -> Document:
    return {"id": f"batch_req_{uuid4().hex}", "custom_id": line.custom_id, "response": response, "error": error}
