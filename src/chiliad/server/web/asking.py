"""`/playground` and `/compare`: ask several experts the same, with their names or without.

The pages ask `/v1/chat/completions` themselves, as any client would; what is here is who can be asked, and the votes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse

from chiliad.metrics import Interval, bootstrap_interval
from chiliad.server.caller import Caller, From
from chiliad.server.errors import HttpError
from chiliad.server.opened import Opened
from chiliad.server.service import ServedModel
from chiliad.server.state import ServerState, State
from chiliad.server.web.origin import OUR_FORMS
from chiliad.server.web.render import page
from chiliad.server.wire.listing import ID_PATTERN
from chiliad.store import Said, Tally, Winner
from chiliad.workspace import Workspace

NAME_MAX = 300
ASKED_MAX = 4
"""side by side"""

AnswerId = Annotated[str, Form(pattern=f"^$|{ID_PATTERN}")]

router = APIRouter(include_in_schema=False, dependencies=OUR_FORMS)


@dataclass(frozen=True)
class Choices:
    """Who can be asked: experts by their plain names, versions that are not live, and bases."""

    experts: list[ServedModel]
    versions: list[str]
    bases: list[ServedModel]

    @property
    def names(self) -> list[str]:
        return [*(model.id for model in self.experts), *(model.id for model in self.bases), *self.versions]


@router.get("/playground")
async def playground(
    request: Request,
    state: State,
    workspace: Opened,
    expert: Annotated[list[str] | None, Query(max_length=ASKED_MAX)] = None,
) -> HTMLResponse:
    """`expert` names those that stand there already."""
    choices = await _choices(state, workspace)
    asked = [name for name in expert or () if name in choices.names] or choices.names[:1]
    content = {"asked": asked, "asked_max": ASKED_MAX, **_keeping(workspace)}
    return await _told(request, "playground.html", choices, content)


@router.get("/compare")
async def compare(request: Request, state: State, workspace: Opened) -> HTMLResponse:
    choices = await _choices(state, workspace)
    return await _told(request, "compare.html", choices, {"asked": choices.names[:2], **_keeping(workspace)})


@router.post("/compare")
async def vote(
    request: Request,
    state: State,
    workspace: Opened,
    caller: From,
    left: Annotated[str, Form(max_length=NAME_MAX)],
    right: Annotated[str, Form(max_length=NAME_MAX)],
    winner: Annotated[Winner, Form()],
    left_answer: AnswerId = "",
    right_answer: AnswerId = "",
) -> HTMLResponse:
    """Keep a vote on what was shown left and right, and tell who they were.

    The page names the versions that answered: what a name stands for may have changed since.
    With the ids of the two answers, if they were kept, it is also feedback on them.
    """
    one, other = (await state.resolve(left)).root, (await state.resolve(right)).root
    if one == other:
        raise HttpError.bad_value("right", "The two are the same.", fix="Compare two different experts.")
    votes = state.accounts.votes
    await asyncio.to_thread(votes.add, one, other, winner, voter=caller.id, project=caller.project)
    if left_answer and right_answer and winner is not Winner.TIE:
        liked, other_one = (left_answer, right_answer)[:: 1 if winner is Winner.LEFT else -1]
        await asyncio.to_thread(_prefer, workspace, caller, liked, other_one)
    tally = await asyncio.to_thread(votes.tally, one, other, project=caller.sees)
    return page(request, "_tally.html", one=one, other=other, tally=tally, share=_share(tally))


def _prefer(workspace: Workspace, caller: Caller, liked: str, other: str) -> None:
    """Raises AnswerNotFound."""
    give = partial(workspace.feedback.give, by=caller.id, project=caller.sees, trusted=False)
    give(liked, Said(boolean=True, comment="Preferred in a blind comparison."))
    give(other, Said(boolean=False, comment="In a blind comparison another answer was preferred."))


def _keeping(workspace: Workspace) -> dict[str, Any]:
    answers = workspace.settings.answers
    return {"keeps_all": answers.keep, "keep_days": answers.retention_days}


async def _choices(state: ServerState, workspace: Workspace) -> Choices:
    models = sorted(await state.models(), key=lambda model: model.id)
    roots = {model.root for model in models}
    summaries = await asyncio.to_thread(workspace.registry.experts)
    versions = [f"{one.name}@{number}" for one in summaries for number in reversed(one.numbers)]
    return Choices(
        experts=[model for model in models if model.parent is not None],
        versions=[version for version in versions if version not in roots],
        bases=[model for model in models if model.parent is None],
    )


async def _told(request: Request, template: str, choices: Choices, content: Mapping[str, Any]) -> HTMLResponse:
    """A page on which models tell of themselves, which may read files."""
    return await asyncio.to_thread(page, request, template, choices=choices, **content)


def _share(tally: Tally) -> tuple[float, Interval] | None:
    """Of those who preferred one of the two, the share that preferred the first, with its interval."""
    decided = tally.one + tally.other
    if not decided:
        return None
    return tally.one / decided, bootstrap_interval([1.0] * tally.one + [0.0] * tally.other)
