"""What came of a batch's requests: kept line by line while it runs, so that a worker that dies costs those under way
alone, and in the end in two files.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from chiliad.errors import StoreError
from chiliad.registry.runs import batch_run
from chiliad.server.batch_lines import output_ids
from chiliad.server.wire.responses import ResponsesUsage, responses_usage
from chiliad.store import Document, Job, Purpose, scope_of
from chiliad.store.files import explain_disk_errors, folder_lock, remove_folder
from chiliad.workspace import Workspace

ANSWERS_FILE = "answers.jsonl"
EXPIRED = {"code": "batch_expired", "message": "The batch expired before this request was answered."}


def folder_of(workspace: Workspace, job: Job) -> Path:
    """Where a batch's answers are until its files are written."""
    return batch_run(workspace.folder, job.id)


def settle(workspace: Workspace, job: Job) -> None:
    """Write the files of a batch that was cancelled or failed while no worker had it. One that a worker still has
    waits for the next look."""
    folder = folder_of(workspace, job)
    if (folder / ANSWERS_FILE).exists():
        with suppress(StoreError), folder_lock(folder, wait=False, create=False):
            write_files(workspace, job, Answers(folder / ANSWERS_FILE))
            remove_folder(folder)


def write_files(workspace: Workspace, job: Job, answers: Answers) -> None:
    """One for answers and one for errors, if there are any. Doing it twice changes nothing."""
    for failed, file_id in zip((False, True), output_ids(job), strict=True):
        if answers.failed if failed else answers.done - answers.failed:
            workspace.files.of(scope_of(job.project)).add(
                f"{job.id}_{'error' if failed else 'output'}.jsonl",
                Purpose.BATCH_OUTPUT,
                answers.lines(failed=failed),
                expires_after_s=job.document["output_expires_after_s"],
                file_id=file_id,
            )


class Answers:
    """What has been answered so far, one line each in a file. expired: whether something was not answered in time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.done: set[str] = set()
        self.failed: set[str] = set()
        self.expired = False
        self._tokens: Counter[str] = Counter()
        whole = [line for line in self._raw() if line.endswith(b"\n")]
        if path.exists():
            os.truncate(path, sum(map(len, whole)))  # without what a killed worker wrote half
        self._note(map(json.loads, whole))

    def add(self, answers: Sequence[Document]) -> None:
        with explain_disk_errors(self._path), self._path.open("ab") as file:
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
            self.expired = self.expired or answer["error"] == EXPIRED
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
