"""The whole server as one ASGI application."""

from __future__ import annotations

from fastapi import FastAPI

import chiliad
from chiliad.config import ServerSettings
from chiliad.server import errors
from chiliad.server.middleware.body import BodyLimit, Bounds
from chiliad.server.middleware.key import KeyGuard
from chiliad.server.middleware.origin import OriginGuard, is_loopback
from chiliad.server.opened import attach_workspace
from chiliad.server.routes import (
    batches,
    chat,
    completions,
    embeddings,
    evals,
    files,
    fine_tuning,
    health,
    models,
    page,
    tokenize,
)
from chiliad.server.service import AnyService
from chiliad.server.state import ServerState, attach
from chiliad.server.wire.errors import ErrorBody
from chiliad.workspace import Workspace


def create_app(
    service: AnyService, settings: ServerSettings, *, api_key: str | None = None, workspace: Workspace | None = None
) -> FastAPI:
    """Routes over `service`, and with `workspace` those that keep something in it: files, fine-tuning jobs, evals, batches.

    With `api_key`, every path but the page and the health checks wants it as Bearer.
    """
    app = FastAPI(
        title="Chiliad",
        version=chiliad.__version__,
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        responses={"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}},
    )
    attach(app, ServerState(service))
    errors.install(app)
    for routes in (page, health, models, chat, completions, tokenize):
        app.include_router(routes.router)
    if workspace is not None:
        attach_workspace(app, workspace)
        for kept in (files, fine_tuning, embeddings, evals, batches):
            app.include_router(kept.router)
    # The last one added is the first one that a request meets.
    app.add_middleware(
        BodyLimit,
        whole=Bounds(settings.body_bytes_max, settings.body_seconds_max),
        streamed={files.PATH: Bounds(settings.upload_bytes_max + files.FORM_BYTES_MAX, settings.upload_seconds_max)},
    )
    if api_key is not None:
        app.add_middleware(KeyGuard, api_key=api_key)
    app.add_middleware(OriginGuard, loopback_only=is_loopback(settings.host))
    return app
