"""The requests of a batch, as its uploaded file has them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import ValidationError

from chiliad.data import read_table
from chiliad.errors import FileRefused
from chiliad.server.errors import HttpError
from chiliad.server.wire.batches import REQUESTS_MAX, Line
from chiliad.store import Job, Purpose, Uploads

BATCH = "batch"
"""the kind of job that a batch is"""
WINDOW_S = 24 * 3600.0
_VERSION = re.compile(r"[a-z0-9._-]{1,64}@[1-9][0-9]{0,8}")


def lines_of(files: Uploads, file_id: str, endpoint: str) -> list[Line]:
    """Raises FileMissing, FileRefused, DataError, and HttpError (400) with the row that is no request to `endpoint`."""
    file = files.get(file_id)
    if file.purpose is not Purpose.BATCH:
        raise FileRefused(
            f"The file {file_id} was uploaded for {file.purpose}.", fix="Upload it with the purpose batch."
        )
    rows = read_table(files.path(file)).rows
    if len(rows) > REQUESTS_MAX:
        raise _wrong(f"The file has {len(rows)} requests; a batch takes {REQUESTS_MAX}.", "Send several batches.")
    lines, seen = [], set[str]()
    for number, row in enumerate(rows, start=1):
        line = _line(row, number)
        if line.url != endpoint:
            raise _wrong(
                f"Row {number} is for {line.url[:60]!r}, the batch for {endpoint!r}.", "Send a batch for each."
            )
        if line.body.get("stream"):
            raise _wrong(f"Row {number} wants a stream.", "Leave `stream` out.")
        if line.custom_id in seen:
            raise _wrong(f"Row {number} has a custom_id that was there before.", "Give each request one of its own.")
        seen.add(line.custom_id)
        lines.append(line)
    return lines


def _line(row: object, number: int) -> Line:
    try:
        return Line.model_validate(row)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        fix = 'Write {"custom_id": "1", "method": "POST", "url": "/v1/...", "body": {...}} on every line.'
        raise _wrong(f"Row {number} is no request: {where}: {problem['msg']}.", fix) from error


def _wrong(cause: str, fix: str) -> HttpError:
    return HttpError(400, "invalid_batch_file", cause, fix=fix, param="input_file_id")


def versions_in(lines: Sequence[Line]) -> list[str]:
    """Those that requests name with their number: the job names them too, and so they stay until it has ended."""
    models = {model for line in lines if isinstance(model := line.body.get("model"), str)}
    return sorted(model for model in models if _VERSION.fullmatch(model))


def output_ids(job: Job) -> tuple[str, str]:
    """The ids of a batch's files for answers and for errors, which are there once it has ended and there is any of them."""
    return f"file-{job.id}-output", f"file-{job.id}-errors"
