"""`/v1/corrections`: what is gathered for each expert, and the retraining that learns it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from fastapi import APIRouter

from chiliad.errors import DataError
from chiliad.server.caller import Caller, From
from chiliad.server.errors import HttpError
from chiliad.server.opened import Opened
from chiliad.server.wire import feedback as wire
from chiliad.server.wire.listing import InPath
from chiliad.workspace import Workspace

router = APIRouter(prefix="/v1/corrections", tags=["feedback"])

T = TypeVar("T")


@router.get("")
async def list_corrections(workspace: Opened, caller: From) -> wire.StandingList:
    """Every expert of which something was decided, or that has a rule."""
    found = await asyncio.to_thread(workspace.feedback.standings, project=caller.sees, own_project=caller.project)
    return wire.StandingList(object="list", data=[wire.standing_on_wire(one) for one in found])


@router.get("/{expert}")
async def retrieve_corrections(expert: InPath, workspace: Opened, caller: From) -> wire.StandingOnWire:
    await asyncio.to_thread(workspace.registry.versions, expert)
    return await _standing(workspace, expert, caller)


@router.post("/{expert}/dataset")
async def make_dataset(expert: InPath, workspace: Opened, caller: From) -> wire.DatasetOnWire:
    """Freeze what the expert's next version would learn from; the same decisions give the same dataset."""
    made = await asyncio.to_thread(_usable, lambda: workspace.feedback.freeze(expert, project=caller.sees))
    return wire.DatasetOnWire(
        object="dataset",
        hash=made.dataset.hash,
        train=len(made.dataset.train),
        dev=len(made.dataset.dev),
        test=len(made.dataset.test),
        corrections=len(made.used),
        left_out=made.of_test_rows,
    )


@router.post("/{expert}/retrain", status_code=202)
async def retrain(expert: InPath, workspace: Opened, caller: From) -> wire.Retraining:
    """Queue a training that continues from the live version; what comes out is evaluated, and live if it is not worse."""
    job = await asyncio.to_thread(_usable, lambda: workspace.feedback.retrain(expert, project=caller.sees))
    return wire.retraining_on_wire(job)


@router.post("/{expert}/prefer", status_code=202)
async def prefer(expert: InPath, workspace: Opened, caller: From) -> wire.Retraining:
    """Queue a training towards answers that people called good, away from those that they called bad."""
    job = await asyncio.to_thread(_usable, lambda: workspace.feedback.prefer(expert, project=caller.sees))
    return wire.retraining_on_wire(job)


@router.put("/{expert}/rule")
async def set_rule(expert: InPath, body: wire.RuleBody, workspace: Opened, caller: From) -> wire.StandingOnWire:
    """Retrain by itself as soon as so many corrections of the caller's project wait."""
    await asyncio.to_thread(workspace.feedback.set_rule, expert, project=caller.project, after=body.after)
    return await _standing(workspace, expert, caller)


@router.delete("/{expert}/rule")
async def remove_rule(expert: InPath, workspace: Opened, caller: From) -> wire.StandingOnWire:
    await asyncio.to_thread(workspace.feedback.set_rule, expert, project=caller.project, after=None)
    return await _standing(workspace, expert, caller)


def _usable(make: Callable[[], T]) -> T:
    """Raises HttpError (400) for decisions that nothing can be learned from."""
    try:
        return make()
    except DataError as error:
        raise HttpError(400, error.code, error.cause, fix=error.fix) from error


async def _standing(workspace: Workspace, expert: str, caller: Caller) -> wire.StandingOnWire:
    look = workspace.feedback.standing
    return wire.standing_on_wire(await asyncio.to_thread(look, expert, project=caller.sees, own_project=caller.project))
