"""The workspace behind a server, for the routes that keep files, jobs and evals in it."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, FastAPI, Request

from chiliad.workspace import Workspace


def attach_workspace(app: FastAPI, workspace: Workspace) -> None:
    app.state.workspace = workspace


async def _workspace_of_request(request: Request) -> Workspace:
    return cast(Workspace, request.app.state.workspace)


Opened = Annotated[Workspace, Depends(_workspace_of_request)]
"""its methods read files and the database: call them on a worker thread"""
