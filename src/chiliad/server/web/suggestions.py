"""`/suggestions`: experts that are missing, from the requests that nothing serves well to the training of one that does."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import Field

from chiliad.base import DEFAULT_BASE
from chiliad.data import table_from_rows
from chiliad.errors import BaseModelError, DataError, RegistryError
from chiliad.feedback import last_request
from chiliad.server.caller import Caller, From
from chiliad.server.errors import HttpError
from chiliad.server.opened import Opened
from chiliad.server.web.making import bases_to_choose
from chiliad.server.web.origin import OUR_FORMS
from chiliad.server.web.render import page, to_page
from chiliad.server.wire.feedback import TEXT_CHARS_MAX
from chiliad.server.wire.listing import WITHOUT_NUL, Id, InPath
from chiliad.store import Job, KeptAnswer
from chiliad.workspace import Workspace
from chiliad.workspace.suggestions import Suggestion

ROWS_SHOWN_MAX = 200
NAME_CHARS_MAX = 64
INPUT, OUTPUT = "input", "output"

router = APIRouter(prefix="/suggestions", include_in_schema=False, dependencies=OUR_FORMS)


@router.post("")
async def search(workspace: Opened, caller: From) -> RedirectResponse:
    """Look for them in the background; the job's page leads back."""
    job = await asyncio.to_thread(workspace.feedback.suggest, project=caller.sees)
    return RedirectResponse(f"/jobs/{job.id}", 303)


@router.get("/{answer_id}")
async def suggestion(request: Request, workspace: Opened, caller: From, answer_id: InPath) -> HTMLResponse:
    """The kind of request that an answer belongs to, each with a field for what would have been right."""

    def look() -> dict[str, Any]:
        found = _holding(workspace, caller, answer_id)
        rows = [(one, last_request(one)) for one in found.typical[:ROWS_SHOWN_MAX]]
        return {"rows": rows, "total": found.different, **bases_to_choose(workspace)}

    return page(request, "suggestion.html", answer_id=answer_id, **await asyncio.to_thread(look))


@router.post("/{answer_id}")
async def make(
    request: Request,
    workspace: Opened,
    caller: From,
    answer_id: InPath,
    name: Annotated[str, Form(max_length=NAME_CHARS_MAX)],
    asked: Annotated[list[Id], Form(max_length=ROWS_SHOWN_MAX)],
    wanted: Annotated[list[Annotated[str, Field(max_length=TEXT_CHARS_MAX)]], Form(max_length=ROWS_SHOWN_MAX)],
    more: Annotated[str, Form(max_length=TEXT_CHARS_MAX)] = "",
    instruction: Annotated[str, Form(max_length=TEXT_CHARS_MAX, pattern=WITHOUT_NUL)] = "",
    base: Annotated[str, Form(max_length=TEXT_CHARS_MAX)] = DEFAULT_BASE,
) -> Response:
    """Train an expert on the requests that were given an answer, and on `more`: lines of input, tab, output."""

    def submit() -> Job:
        texts = {one.id: last_request(one) for one in _holding(workspace, caller, answer_id).answers}
        answered = zip((texts.get(one, "") for one in asked), wanted, strict=False)
        pasted = (line.partition("\t")[::2] for line in more.splitlines())
        rows = [{INPUT: text, OUTPUT: right} for text, right in (*answered, *pasted) if text.strip() and right.strip()]
        table = table_from_rows(rows, source=f"requests like {answer_id}")
        told = instruction.strip() or None
        jobs = workspace.jobs.of(caller.scope)
        return jobs.train(name.strip(), table, base=base, input=INPUT, output=OUTPUT, instruction=told)

    try:
        job = await asyncio.to_thread(submit)
    except (DataError, RegistryError, BaseModelError) as error:
        raise HttpError(400, error.code, error.cause, fix=error.fix) from error
    return to_page(request, f"/jobs/{job.id}")


def _holding(workspace: Workspace, caller: Caller, answer_id: str) -> Suggestion:
    """Raises HttpError (404) when the newest search has put the answer into no kind."""

    def holds(answers: tuple[KeptAnswer, ...]) -> bool:
        return any(one.id == answer_id for one in answers)

    found = workspace.feedback.suggestions(project=caller.sees) or ()
    suggested = next((one for one in found if holds(one.answers)), None)
    if suggested is None:
        raise HttpError(404, "suggestion_not_found", "There is no such suggestion (any more).", fix="Search again.")
    return suggested
