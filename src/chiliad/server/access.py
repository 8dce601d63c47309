"""Which route needs what: one table, without which no route is served."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from chiliad.store import Role


class Need(Enum):
    """Who may: None stands for everybody, known or not."""

    OPEN = None
    LOOK = frozenset(Role)
    ASK = frozenset({Role.ADMIN, Role.MEMBER, Role.APP})
    READ = frozenset({Role.ADMIN, Role.MEMBER, Role.VIEWER})
    """what is kept, and what a project asked and spent"""
    WORK = frozenset({Role.ADMIN, Role.MEMBER})
    """who changes what is kept: files, jobs, evals, decisions about answers"""
    ADMIN = frozenset({Role.ADMIN})

    def met_by(self, role: Role | None) -> bool:
        roles: frozenset[Role] | None = self.value
        return roles is None or role in roles


ACCESS: Mapping[str, Need] = {
    "GET /health": Need.OPEN,
    "GET /ready": Need.OPEN,
    "GET /version": Need.OPEN,
    "GET /metrics": Need.READ,
    "GET /openapi.json": Need.LOOK,
    "HEAD /openapi.json": Need.LOOK,
    "GET /v1/models": Need.LOOK,
    "GET /v1/models/": Need.LOOK,
    "GET /v1/models/{model_id:path}": Need.LOOK,
    "POST /tokenize": Need.LOOK,
    "POST /detokenize": Need.LOOK,
    "GET /tokenizer_info": Need.LOOK,
    "POST /v1/chat/completions": Need.ASK,
    "POST /v1/completions": Need.ASK,
    "POST /v1/responses": Need.ASK,
    "GET /admin": Need.OPEN,
    "GET /static/{name}": Need.OPEN,
    "POST /v1/session": Need.OPEN,
    "GET /v1/session": Need.LOOK,
    "DELETE /v1/session": Need.OPEN,
    "GET /v1/costs": Need.READ,
    "POST /v1/admin/keys": Need.ADMIN,
    "GET /v1/admin/keys": Need.ADMIN,
    "DELETE /v1/admin/keys/{key_id}": Need.ADMIN,
    "GET /v1/admin/audit": Need.ADMIN,
    "POST /v1/load_lora_adapter": Need.ADMIN,
    "POST /v1/unload_lora_adapter": Need.ADMIN,
    "DELETE /v1/models/{model_id:path}": Need.WORK,
    "POST /v1/embeddings": Need.ASK,
    "POST /v1/files": Need.WORK,
    "GET /v1/files": Need.READ,
    "GET /v1/files/{file_id}": Need.READ,
    "GET /v1/files/{file_id}/content": Need.READ,
    "DELETE /v1/files/{file_id}": Need.WORK,
    "POST /v1/fine_tuning/jobs": Need.WORK,
    "GET /v1/fine_tuning/jobs": Need.READ,
    "GET /v1/fine_tuning/jobs/{fine_tuning_job_id}": Need.READ,
    "POST /v1/fine_tuning/jobs/{fine_tuning_job_id}/cancel": Need.WORK,
    "POST /v1/fine_tuning/jobs/{fine_tuning_job_id}/pause": Need.WORK,
    "POST /v1/fine_tuning/jobs/{fine_tuning_job_id}/resume": Need.WORK,
    "GET /v1/fine_tuning/jobs/{fine_tuning_job_id}/events": Need.READ,
    "GET /v1/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints": Need.READ,
    "POST /v1/evals": Need.WORK,
    "GET /v1/evals": Need.READ,
    "GET /v1/evals/{eval_id}": Need.READ,
    "POST /v1/evals/{eval_id}": Need.WORK,
    "DELETE /v1/evals/{eval_id}": Need.WORK,
    "POST /v1/evals/{eval_id}/runs": Need.WORK,
    "GET /v1/evals/{eval_id}/runs": Need.READ,
    "GET /v1/evals/{eval_id}/runs/{run_id}": Need.READ,
    "POST /v1/evals/{eval_id}/runs/{run_id}": Need.WORK,
    "POST /v1/evals/{eval_id}/runs/{run_id}/cancel": Need.WORK,
    "DELETE /v1/evals/{eval_id}/runs/{run_id}": Need.WORK,
    "GET /v1/evals/{eval_id}/runs/{run_id}/output_items": Need.READ,
    "GET /v1/evals/{eval_id}/runs/{run_id}/output_items/{output_item_id}": Need.READ,
    "POST /v1/batches": Need.WORK,
    "GET /v1/batches": Need.READ,
    "GET /v1/batches/{batch_id}": Need.READ,
    "POST /v1/batches/{batch_id}/cancel": Need.WORK,
    "POST /v1/feedback": Need.ASK,
    "GET /v1/review": Need.READ,
    "DELETE /v1/review": Need.WORK,
    "GET /v1/review/{answer_id}": Need.READ,
    "POST /v1/review/{answer_id}": Need.WORK,
    "DELETE /v1/review/{answer_id}": Need.WORK,
    "GET /v1/corrections": Need.READ,
    "GET /v1/corrections/{expert}": Need.READ,
    "POST /v1/corrections/{expert}/dataset": Need.WORK,
    "POST /v1/corrections/{expert}/retrain": Need.WORK,
    "POST /v1/corrections/{expert}/prefer": Need.WORK,
    "PUT /v1/corrections/{expert}/rule": Need.WORK,
    "DELETE /v1/corrections/{expert}/rule": Need.WORK,
    "GET /v1/suggestions": Need.READ,
    "POST /v1/suggestions": Need.WORK,
    "GET /v1/copilot/databases": Need.READ,
    "POST /v1/copilot/databases": Need.WORK,
    "GET /v1/copilot/databases/{name}": Need.READ,
    "DELETE /v1/copilot/databases/{name}": Need.WORK,
    "POST /v1/copilot/drafts": Need.WORK,
    "POST /v1/copilot/queries": Need.WORK,
    "GET /": Need.LOOK,
    "GET /experts/{name}": Need.READ,
    "GET /experts/{name}/{number}/card": Need.READ,
    "POST /experts/{name}/promote": Need.WORK,
    "POST /experts/{name}/rollback": Need.WORK,
    "GET /train": Need.WORK,
    "POST /train/check": Need.WORK,
    "POST /train": Need.WORK,
    "GET /playground": Need.ASK,
    "GET /compare": Need.ASK,
    "POST /compare": Need.ASK,
    "GET /review": Need.READ,
    "GET /review/{answer_id}": Need.READ,
    "POST /review/{answer_id}": Need.WORK,
    "POST /review/{answer_id}/delete": Need.WORK,
    "POST /review/experts/{name}/retrain": Need.WORK,
    "POST /review/experts/{name}/rule": Need.WORK,
    "POST /suggestions": Need.WORK,
    "GET /suggestions/{answer_id}": Need.WORK,
    "POST /suggestions/{answer_id}": Need.WORK,
    "GET /copilot": Need.WORK,
    "GET /copilot/tables": Need.WORK,
    "POST /copilot/databases": Need.WORK,
    "POST /copilot/draft": Need.WORK,
    "POST /copilot/run": Need.WORK,
    "POST /copilot/accept": Need.WORK,
    "GET /datasets": Need.READ,
    "GET /datasets/{digest}": Need.READ,
    "GET /jobs": Need.READ,
    "GET /jobs/{job_id}": Need.READ,
    "GET /jobs/{job_id}/progress": Need.READ,
    "POST /jobs/{job_id}/{move}": Need.WORK,
    "GET /ledger": Need.READ,
    "GET /keys": Need.ADMIN,
    "POST /keys": Need.ADMIN,
    "POST /keys/{key_id}/revoke": Need.ADMIN,
    "GET /settings": Need.READ,
}
"""method and path as the route declares them; what is open tells nothing about what is served"""


@dataclass(frozen=True)
class Door:
    """One method of one route."""

    method: str
    path: re.Pattern[str]
    need: Need


class Doors:
    """What a request needs. Built from an application's own routes: one that the table does not name raises KeyError."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._doors = [
            Door(method, route.path_regex, ACCESS[f"{method} {route.path}"])
            for route in routes
            if isinstance(route, Route)
            for method in sorted(route.methods or ())
        ]

    def need(self, scope: Scope) -> Need:
        """That of the first route that fits, as the application takes it too; one that there is not needs any key."""
        method, path = scope["method"], scope["path"]
        fitting = (door.need for door in self._doors if door.method == method and door.path.match(path))
        return next(fitting, Need.LOOK)
