"""`/train`: from a file that somebody drops to a training job, with a look at the data in between.

The file is not kept between looking and training: the form sends it again, and only what is trained on is frozen.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from tempfile import TemporaryDirectory
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import HTMLResponse, Response

from chiliad.base import DEFAULT_BASE
from chiliad.data import (
    Columns,
    Report,
    Table,
    check,
    find_columns,
    read_table,
    states_preferences,
    to_examples,
    to_preferences,
)
from chiliad.data.read import READERS
from chiliad.errors import BaseModelError, ColumnsNotFound, DataError, RegistryError
from chiliad.server.caller import From
from chiliad.server.errors import HttpError
from chiliad.server.opened import Opened
from chiliad.server.web.origin import OUR_FORMS
from chiliad.server.web.render import page, to_page
from chiliad.server.wire.listing import WITHOUT_NUL
from chiliad.store import Job
from chiliad.workspace import Workspace

PATH = "/train"
CHECK_PATH = f"{PATH}/check"
ROWS_SHOWN = 3
LABELS_SHOWN_MAX = 12
NAME_CHARS_MAX = 200
TEXT_MAX = 8000

T = TypeVar("T")

router = APIRouter(include_in_schema=False, dependencies=OUR_FORMS)


@dataclass(frozen=True)
class Given:
    """What the form holds; columns that are not named are looked for."""

    file: UploadFile
    name: str
    base: str
    input: str | None
    output: str | None
    instruction: str | None


def _given(
    file: Annotated[UploadFile, File()],
    name: Annotated[str, Form(max_length=NAME_CHARS_MAX)] = "",
    base: Annotated[str, Form(max_length=NAME_CHARS_MAX)] = DEFAULT_BASE,
    input: Annotated[str, Form(max_length=TEXT_MAX)] = "",  # noqa: A002  the column's name in the form
    output: Annotated[str, Form(max_length=TEXT_MAX)] = "",
    instruction: Annotated[str, Form(max_length=TEXT_MAX, pattern=WITHOUT_NUL)] = "",
) -> Given:
    return Given(file, name.strip(), base, input or None, output or None, instruction.strip() or None)


Filled = Annotated[Given, Depends(_given)]


@router.get(PATH)
async def form(request: Request, workspace: Opened) -> HTMLResponse:
    bases = await asyncio.to_thread(bases_to_choose, workspace)
    return page(request, "train.html", endings=",".join(READERS), **bases)


@router.post(CHECK_PATH)
async def look(request: Request, workspace: Opened, given: Filled) -> HTMLResponse:
    """What is in the file, and which columns it would be learned from; nothing is kept."""
    table = await asyncio.to_thread(_explained, lambda: _table(given.file))
    if not given.input and not given.output and states_preferences(table):
        stated = await asyncio.to_thread(_explained, lambda: to_preferences(table))
        pairs = sum(one.is_pair for one in stated)
        return page(request, "_preferences.html", table=table, pairs=pairs, single=len(stated) - pairs)
    try:
        columns, report = await asyncio.to_thread(_explained, lambda: _checked(workspace, given, table))
    except ColumnsNotFound:
        return page(request, "_columns.html", table=table, given=given)
    content: dict[str, Any] = {
        "columns": columns,
        "report": report,
        "rows": table.rows[:ROWS_SHOWN],
        "labels_max": LABELS_SHOWN_MAX,
    }
    return page(request, "_check.html", table=table, given=given, **content)


@router.post(PATH)
async def train(request: Request, workspace: Opened, caller: From, given: Filled) -> Response:
    """Freeze the data and queue the training; then its page, which shows how it goes."""

    def submit() -> Job:
        return workspace.jobs.of(caller.scope).train(
            given.name,
            _table(given.file),
            base=given.base,
            input=given.input,
            output=given.output,
            instruction=given.instruction,
        )

    job = await asyncio.to_thread(_explained, submit)
    return to_page(request, f"/jobs/{job.id}")


def bases_to_choose(workspace: Workspace) -> dict[str, Any]:
    """What the form's further choices show."""
    return {"bases": sorted({*workspace.bases.ids(), DEFAULT_BASE}), "default_base": DEFAULT_BASE}


def _table(file: UploadFile) -> Table:
    """Read an upload under its own name, of which only the last part counts."""
    name = PureWindowsPath(file.filename or "").name
    name = "".join(sign for sign in name if sign.isprintable())[-NAME_CHARS_MAX:]
    with TemporaryDirectory() as folder:
        path = Path(folder) / (name or "table")
        with path.open("wb") as kept:
            shutil.copyfileobj(file.file, kept)
        return read_table(path)


def _checked(workspace: Workspace, given: Given, table: Table) -> tuple[Columns, Report]:
    columns = find_columns(table, input=given.input, output=given.output)
    examples = to_examples(table, columns)
    tokens_max = workspace.settings.engine.context_max
    return columns, check(examples, count_tokens=_token_counter(workspace, given.base), tokens_max=tokens_max)


def _token_counter(workspace: Workspace, base: str) -> Callable[[str], int] | None:
    """The base's own count, if the base is here by now."""
    if base not in workspace.bases.ids():
        return None
    tokenizer = workspace.bases.get(base).tokenizer()
    return lambda text: len(tokenizer.encode(text))


def _explained(work: Callable[[], T]) -> T:
    """What is wrong with a form is told to whoever filled it in. Raises HttpError (400), and ColumnsNotFound."""
    try:
        return work()
    except ColumnsNotFound:
        raise
    except (DataError, RegistryError, BaseModelError) as error:
        raise HttpError(400, error.code, error.cause, fix=error.fix) from error
