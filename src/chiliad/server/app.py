"""The whole server as one ASGI application."""

from __future__ import annotations

from fastapi import FastAPI

import chiliad
from chiliad.config import ServerSettings
from chiliad.ledger import Accounts
from chiliad.server import errors
from chiliad.server.access import Doors
from chiliad.server.admin_link import AdminLink
from chiliad.server.caller import Callers
from chiliad.server.middleware.access import AccessGuard
from chiliad.server.middleware.body import BodyLimit
from chiliad.server.middleware.origin import OriginGuard, is_loopback
from chiliad.server.routes import audit, chat, completions, costs, health, keys, models, page, session, tokenize
from chiliad.server.service import AnyService
from chiliad.server.state import ServerState, attach
from chiliad.server.wire.errors import ErrorBody

ROUTES = (page, health, models, chat, completions, tokenize, session, keys, audit, costs)


def create_app(
    service: AnyService,
    settings: ServerSettings,
    accounts: Accounts,
    *,
    api_key: str | None = None,
    admin_link: AdminLink | None = None,
) -> FastAPI:
    """Routes over `service`, for the keys of `accounts`, and for `api_key` as an admin's.

    On loopback, without `api_key` and as long as no key was ever made, anybody may ask; only admins may do more.
    """
    app = FastAPI(
        title="Chiliad",
        version=chiliad.__version__,
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        responses={"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}},
    )
    loopback_only = is_loopback(settings.host)
    callers = Callers(accounts, api_key=api_key, open_until_keys=loopback_only)
    attach(app, ServerState(service, accounts, callers, admin_link))
    errors.install(app)
    doors = Doors([*app.routes, *(route for routes in ROUTES for route in routes.router.routes)])
    for routes in ROUTES:
        app.include_router(routes.router)
    # The last one added is the first one that a request meets.
    app.add_middleware(BodyLimit, bytes_max=settings.body_bytes_max, seconds_max=settings.body_seconds_max)
    app.add_middleware(AccessGuard, callers=callers, doors=doors)
    app.add_middleware(OriginGuard, loopback_only=loopback_only)
    return app
