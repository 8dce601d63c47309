"""`/datasets`: what experts were trained and tested on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from chiliad.data import Dataset
from chiliad.errors import DataError
from chiliad.server.errors import HttpError
from chiliad.server.opened import Opened
from chiliad.server.web.origin import OUR_FORMS
from chiliad.server.web.render import page
from chiliad.server.wire.listing import InPath
from chiliad.store import Document
from chiliad.workspace import Workspace

ROWS_SHOWN = 25
NAME_DIGITS = 12
"""of a dataset's hash: they name its folder, and its page"""
START_MAX = 1_000_000_000

router = APIRouter(prefix="/datasets", include_in_schema=False, dependencies=OUR_FORMS)


@router.get("")
async def datasets(request: Request, workspace: Opened) -> HTMLResponse:
    def look() -> list[tuple[dict[str, object], list[str]]]:
        experts = _experts_by_dataset(workspace)
        found = _frozen(workspace)
        return [(dict(document), experts.get(name, [])) for name, document in sorted(found.items())]

    return page(request, "datasets.html", datasets=await asyncio.to_thread(look))


@router.get("/{digest}")
async def dataset(
    request: Request,
    workspace: Opened,
    digest: InPath,
    part: Literal["train", "dev", "test"] = "train",
    start: Annotated[int, Query(ge=0, le=START_MAX)] = 0,
) -> HTMLResponse:
    """Its rows, a few at a time. `digest` is the whole hash, or at least its first twelve digits."""
    found, experts = await asyncio.to_thread(_read, workspace, digest)
    rows = getattr(found, part)
    content = {"rows": rows[start : start + ROWS_SHOWN], "part": part, "start": start, "page_rows": ROWS_SHOWN}
    return page(request, "dataset.html", dataset=found, experts=experts, total=len(rows), **content)


def _read(workspace: Workspace, digest: str) -> tuple[Dataset, list[str]]:
    """Raises HttpError (404); only what the registry knows is looked for among the files."""
    name = digest[:NAME_DIGITS]
    try:
        if name in _frozen(workspace):
            return workspace.dataset(name), _experts_by_dataset(workspace).get(name, [])
    except DataError as error:
        raise HttpError(409, error.code, error.cause, fix=error.fix) from error
    raise HttpError(404, "dataset_not_found", "There is no such dataset.", fix="The list shows those that there are.")


def _frozen(workspace: Workspace) -> Mapping[str, Document]:
    """Those that were frozen since the server was started too: the index is brought up to the files first."""
    workspace.registry.reconcile()
    return workspace.registry.datasets()


def _experts_by_dataset(workspace: Workspace) -> dict[str, list[str]]:
    """The names of those whose live version learned from it, by the dataset's name."""
    experts: dict[str, list[str]] = {}
    for summary in workspace.registry.experts():
        if summary.live and summary.live.dataset_hash:
            experts.setdefault(summary.live.dataset_hash[:NAME_DIGITS], []).append(summary.name)
    return experts
