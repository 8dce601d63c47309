"""`/copilot`: a question, the expert's query in an editor, what it gives, and what people make of it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse

from chiliad.errors import FileRefused, QueryError
from chiliad.server import copilot
from chiliad.server.caller import From
from chiliad.server.opened import Opened
from chiliad.server.routes.copilot import keep
from chiliad.server.state import State
from chiliad.server.web.origin import OUR_FORMS
from chiliad.server.web.render import page
from chiliad.server.wire.copilot import QUESTION_CHARS_MAX
from chiliad.server.wire.listing import ID_PATTERN
from chiliad.store.databases import NAME_PATTERN
from chiliad.store.read_only import SQL_CHARS_MAX
from chiliad.workspace import Workspace

PATH = "/copilot"
UPLOAD_PATH = f"{PATH}/databases"
NAME_MAX = 300

router = APIRouter(prefix=PATH, include_in_schema=False, dependencies=OUR_FORMS)

Name = Annotated[str, Form(pattern=NAME_PATTERN)]
Sql = Annotated[str, Form(max_length=SQL_CHARS_MAX)]


@router.get("")
async def form(
    request: Request,
    state: State,
    workspace: Opened,
    database: Annotated[str | None, Query(max_length=NAME_MAX)] = None,
    expert: Annotated[str | None, Query(max_length=NAME_MAX)] = None,
) -> HTMLResponse:
    """`database` and `expert` name what is chosen already."""
    experts = sorted(model.id for model in await state.models() if model.parent is not None)
    databases = [file.name for file in await asyncio.to_thread(workspace.databases.all)]
    content: dict[str, Any] = {
        "experts": experts,
        "expert": expert if expert in experts else next(iter(experts), None),
        "databases": databases,
        "chosen": database if database in databases else next(iter(databases), None),
    }
    if content["chosen"]:
        content |= await asyncio.to_thread(_told, workspace, content["chosen"])
    return page(request, "copilot.html", **content)


@router.get("/tables")
async def tables(
    request: Request, workspace: Opened, database: Annotated[str, Query(max_length=NAME_MAX)]
) -> HTMLResponse:
    """The part of the page that shows them."""
    return page(request, "_tables.html", **await asyncio.to_thread(_told, workspace, database))


@router.post("/databases")
async def upload(workspace: Opened, file: Annotated[UploadFile, File()]) -> RedirectResponse:
    kept = await asyncio.to_thread(keep, workspace, file)
    return RedirectResponse(f"{PATH}?database={kept.name}", 303)


@router.post("/draft")
async def draft(
    request: Request,
    state: State,
    workspace: Opened,
    caller: From,
    expert: Annotated[str, Form(min_length=1, max_length=NAME_MAX)],
    database: Name,
    question: Annotated[str, Form(min_length=1, max_length=QUESTION_CHARS_MAX)],
    guided: Annotated[bool, Form()] = False,
) -> HTMLResponse:
    asked = copilot.Question(expert, database, question, guided)
    drafted = await copilot.drafted(asked, request, state, workspace, caller)
    reply = page(request, "_draft.html", draft=drafted)
    reply.headers.update(drafted.headers)
    return reply


@router.post("/run")
async def run(request: Request, state: State, workspace: Opened, database: Name, sql: Sql = "") -> HTMLResponse:
    """What is wrong with somebody's own query is a result too: the page stays as it is."""
    try:
        result = await copilot.run(database, sql, state, workspace)
    except QueryError as error:
        return page(request, "_problem.html", error=error, code=None)
    return page(request, "_result.html", result=result)


@router.post("/accept")
async def accept(
    request: Request,
    state: State,
    workspace: Opened,
    caller: From,
    answer: Annotated[str, Form(pattern=ID_PATTERN)],
    database: Name,
    sql: Sql = "",
) -> HTMLResponse:
    """Of a query that runs: one that does not is nothing to learn from."""
    try:
        given = await copilot.accept(answer, database, sql, state, workspace, caller)
    except QueryError as error:
        return page(request, "_problem.html", error=error, code=None)
    return page(request, "_accepted.html", given=given)


def _told(workspace: Workspace, name: str) -> dict[str, Any]:
    """The tables of a database. One that is broken leaves the others to be chosen. Raises FileMissing."""
    try:
        return {"tables": workspace.databases.open(name).tables(), "broken": None}
    except FileRefused as error:
        return {"tables": (), "broken": error.cause}
