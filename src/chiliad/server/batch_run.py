"""Doing a batch: every request goes to the route that it names, and what came of it into two files.

Answers are kept line by line while the batch runs, so that a worker that dies costs those under way alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from itertools import takewhile
from pathlib import Path
from typing import Any
from uuid import uuid4

from chiliad.server.batch_lines import lines_of, output_ids
from chiliad.server.inside import Inside, some_at_once
from chiliad.server.wire.batches import Line
from chiliad.server.wire.responses import ResponsesUsage, responses_usage
from chiliad.store import Document, Job, Purpose, Wish, scope_of
from chiliad.store.files import folder_lock, remove_folder
from chiliad.workspace import Workspace
from chiliad.workspace.worker import Stopped

ANSWERS_FILE = "answers.jsonl"


def do_batch(workspace: Workspace, job: Job, clock: Callable[[], float] = time.time) -> Document:
    """Answer what is not answered yet, until the batch expires. One that is cancelled still writes its files."""
    lines = lines_of(workspace.files, job.document["input_file"], job.document["endpoint"])
    folder = workspace.folder / "runs" / f"batch-{job.id}"
    with folder_lock(folder, wait=False):
        answers = Answers(folder / ANSWERS_FILE)
        try:
            expired = asyncio.run(_do(workspace, job, lines, answers, clock))
        except Stopped as stopped:
            if stopped.wish is Wish.CANCEL:
                _write_files(workspace, job, answers)
            raise
        finally:
            workspace.rest()
        _write_files(workspace, job, answers)
    remove_folder(folder)
    failed = len(answers.failed)
    counts = {"total": len(lines), "completed": len(answers.done) - failed, "failed": failed}
    return {**counts, "usage": answers.usage, "expired": expired}


class Answers:
    """What has been answered so far, one line each in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.done: set[str] = set()
        self.failed: set[str] = set()
        self._tokens: Counter[str] = Counter()
        whole = [line for line in self._raw() if line.endswith(b"\n")]
        if path.exists():
            os.truncate(path, sum(map(len, whole)))  # without what a killed worker wrote half
        self._note(map(json.loads, whole))

    def add(self, answers: Sequence[Document]) -> None:
        with self._path.open("ab") as file:
            file.writelines(json.dumps(answer, ensure_ascii=False).encode() + b"\n" for answer in answers)
        self._note(answers)

    @property
    def usage(self) -> ResponsesUsage:
        tokens = self._tokens
        return responses_usage(tokens["input"], tokens["output"], tokens["cached"])

    def lines(self, *, failed: bool) -> Iterator[bytes]:
        return (line for line in self._raw() if (json.loads(line)["custom_id"] in self.failed) is failed)

    def _note(self, answers: Any) -> None:
        for answer in answers:
            self.done.add(answer["custom_id"])
            if answer["error"] is not None or answer["response"]["status_code"] != 200:
                self.failed.add(answer["custom_id"])
            else:
                self._tokens.update(_tokens_of(answer["response"]["body"]["usage"]))

    def _raw(self) -> Iterator[bytes]:
        if self._path.exists():
            with self._path.open("rb") as file:
                yield from file


def _tokens_of(usage: Document) -> dict[str, int]:
    """The two ways in which OpenAI's routes tell it; embeddings have no output."""
    prompt = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {"cached_tokens": 0}
    return {
        "input": usage["prompt_tokens"] if "prompt_tokens" in usage else usage["input_tokens"],
        "output": usage.get("completion_tokens", 0) + usage.get("output_tokens", 0),
        "cached": prompt["cached_tokens"],
    }


async def _do(
    workspace: Workspace, job: Job, lines: Sequence[Line], answers: Answers, clock: Callable[[], float]
) -> bool:
    """Whether it expired before everything was answered."""
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
    answers.add([_answered(line, error=_EXPIRED) for line in late])
    return bool(late)


_EXPIRED = {"code": "batch_expired", "message": "The batch expired before this request was answered."}


async def _answer(inside: Inside, line: Line) -> Document:
    status, body = await inside.post(line.url, line.body)
    return _answered(line, response={"status_code": status, "request_id": f"req_{uuid4().hex}", "body": body})


def _answered(line: Line, *, response: Document | None = None, error: Document | None = None) -> Document:
    return {"id": f"batch_req_{uuid4().hex}", "custom_id": line.custom_id, "response": response, "error": error}


def _write_files(workspace: Workspace, job: Job, answers: Answers) -> None:
    for failed, file_id in zip((False, True), output_ids(job), strict=True):
        if answers.failed if failed else answers.done - answers.failed:
            workspace.files.of(scope_of(job.project)).add(
                f"{job.id}_{'error' if failed else 'output'}.jsonl",
                Purpose.BATCH_OUTPUT,
                answers.lines(failed=failed),
                expires_after_s=job.document["output_expires_after_s"],
                file_id=file_id,
            )
