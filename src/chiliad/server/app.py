"""The whole server as one ASGI application."""

from __future__ import annotations

from fastapi import FastAPI

import chiliad
from chiliad.config import ServerSettings
from chiliad.ledger import Accounts
from chiliad.server import errors
from chiliad.server.access import Doors
from chiliad.server.admin_link import AdminLink
from chiliad.server.caller import Caller, Callers
from chiliad.server.keepsake import Keeping
from chiliad.server.middleware.access import AccessGuard
from chiliad.server.middleware.body import BodyLimit, Bounds
from chiliad.server.middleware.origin import OriginGuard, is_loopback
from chiliad.server.opened import attach_workspace
from chiliad.server.routes import (
    audit,
    batches,
    chat,
    completions,
    copilot,
    corrections,
    costs,
    embeddings,
    evals,
    feedback,
    files,
    fine_tuned_models,
    fine_tuning,
    health,
    keys,
    lora_adapters,
    metrics,
    models,
    responses,
    review,
    session,
    suggestions,
    tokenize,
)
from chiliad.server.service import AnyService
from chiliad.server.state import ServerState, attach
from chiliad.server.web import answer, asking, datasets, experts, jobs, ledger, making, settings, shell
from chiliad.server.web import copilot as copilot_page
from chiliad.server.web import keys as keys_page
from chiliad.server.web import review as review_page
from chiliad.server.web import suggestions as suggestions_page
from chiliad.server.wire.errors import ErrorBody
from chiliad.workspace import Workspace

ROUTES = (shell, health, metrics, models, chat, completions, responses, tokenize, session, keys, audit, costs)
WORKSPACE_ROUTES = (
    *(files, fine_tuning, fine_tuned_models, lora_adapters, embeddings, evals, batches),
    *(feedback, review, corrections, suggestions, copilot),
)
PAGES = (
    *(experts, making, asking, review_page, suggestions_page, copilot_page),
    *(datasets, jobs, ledger, keys_page, settings),
)

UPLOAD_PATHS = (files.PATH, making.PATH, making.CHECK_PATH, copilot.UPLOAD_PATH, copilot_page.UPLOAD_PATH)


def create_app(
    service: AnyService,
    settings: ServerSettings,
    accounts: Accounts,
    *,
    api_key: str | None = None,
    admin_link: AdminLink | None = None,
    workspace: Workspace | None = None,
    everybody: Caller | None = None,
) -> FastAPI:
    """Routes over `service`, for the keys of `accounts`, and for `api_key` as an admin's.

    With `workspace` also the pages, and those that keep something in it: files, fine-tuning jobs, evals, batches, answers
    and feedback. On loopback, without `api_key` and as long as no key was ever made, anybody may do what a member may. With
    `everybody` no key is looked at: all requests are that caller's.
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
    callers = Callers(accounts, api_key=api_key, open_until_keys=loopback_only, everybody=everybody)
    keeping = Keeping(workspace.feedback.answers, workspace.settings.answers.keep) if workspace else None
    hidden = (workspace.folder, workspace.settings.cache_dir) if workspace else ()
    told = errors.without_folders(hidden)
    attach(app, ServerState(service, accounts, callers, admin_link, keeping, told))
    errors.install(app, answer, told)
    routers = [routes.router for routes in ROUTES]
    if workspace is not None:
        attach_workspace(app, workspace)
        routers += [routes.router for routes in (*WORKSPACE_ROUTES, *PAGES)]
    doors = Doors([*app.routes, *(route for router in routers for route in router.routes)])
    for router in routers:
        app.include_router(router)
    # The last one added is the first one that a request meets.
    upload = Bounds(settings.upload_bytes_max + files.FORM_BYTES_MAX, settings.upload_seconds_max)
    app.add_middleware(
        BodyLimit,
        whole=Bounds(settings.body_bytes_max, settings.body_seconds_max),
        streamed=dict.fromkeys(UPLOAD_PATHS, upload),
        answer=answer,
    )
    app.add_middleware(AccessGuard, callers=callers, doors=doors, answer=answer)
    app.add_middleware(OriginGuard, loopback_only=loopback_only)
    return app
