"""The rows of an eval's run: from the request itself, or from an uploaded file."""

from __future__ import annotations

from pydantic import ValidationError

from chiliad.data import read_table
from chiliad.errors import EvalError, FileRefused
from chiliad.server.wire.evals import FileContent, FileId, Row, Source
from chiliad.store import Purpose, Uploads

EVAL_RUN = "eval_run"
"""the kind of job that a run is"""


def rows_of(files: Uploads, source: Source) -> list[Row]:
    """The rows of a run. Raises FileMissing, FileRefused, DataError, EvalError."""
    match source.source:
        case FileContent(content=content):
            return content
        case FileId(id=file_id):
            return _read(files, file_id)
        case _:
            raise EvalError("This server has no such source of rows.", fix="Give file_id or file_content.")


def _read(files: Uploads, file_id: str) -> list[Row]:
    file = files.get(file_id)
    if file.purpose is not Purpose.EVALS:
        raise FileRefused(
            f"The file {file_id} was uploaded for {file.purpose}.", fix="Upload it with the purpose evals."
        )
    rows = []
    for number, line in enumerate(read_table(files.path(file)).rows, start=1):
        try:
            rows.append(Row.model_validate(line))
        except ValidationError:
            raise EvalError(
                f"{file_id}, row {number}: it is not an object with an item.",
                fix='Write {"item": {...}} on every line.',
            ) from None
    return rows
