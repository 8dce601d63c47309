"""The whole server as one ASGI application."""

from __future__ import annotations

from fastapi import FastAPI

import chiliad
from chiliad.config import ServerSettings
from chiliad.server import errors
from chiliad.server.middleware.body import BodyLimit
from chiliad.server.middleware.key import KeyGuard
from chiliad.server.middleware.origin import OriginGuard, is_loopback
from chiliad.server.routes import chat, completions, health, models, page, tokenize
from chiliad.server.service import AnyService
from chiliad.server.state import ServerState, attach
from chiliad.server.wire.errors import ErrorBody


def create_app(service: AnyService, settings: ServerSettings, *, api_key: str | None = None) -> FastAPI:
    """Routes over `service`. With `api_key`, every path but the page and the health checks wants it as Bearer."""
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
    # The last one added is the first one that a request meets.
    app.add_middleware(BodyLimit, bytes_max=settings.body_bytes_max, seconds_max=settings.body_seconds_max)
    if api_key is not None:
        app.add_middleware(KeyGuard, api_key=api_key)
    app.add_middleware(OriginGuard, loopback_only=is_loopback(settings.host))
    return app
