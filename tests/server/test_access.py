"""Every route × everybody: who may, who may not, and that a new route has to say so."""

import re
from pathlib import Path

import pytest
from starlette.routing import Route

import chiliad
from chiliad.config import ServerSettings, Settings
from chiliad.server import create_app
from chiliad.server.access import ACCESS, Doors
from chiliad.store import Role
from chiliad.workspace import Workspace
from tests.server.conftest import opened_accounts, running

ANYONE = {"nobody", "wrong", *Role}
KNOWN = set(Role)
READERS = {"admin", "member", "viewer"}
WORKERS = {"admin", "member"}
ASKERS = {"admin", "member", "app"}
EXPECTED = {
    "GET /admin": ANYONE,
    "GET /static/{name}": ANYONE,
    "GET /health": ANYONE,
    "GET /ready": ANYONE,
    "GET /version": ANYONE,
    "GET /metrics": READERS,
    "POST /v1/session": ANYONE,
    "DELETE /v1/session": ANYONE,
    "GET /v1/session": KNOWN,
    "GET /openapi.json": KNOWN,
    "HEAD /openapi.json": KNOWN,
    "GET /v1/models": KNOWN,
    "GET /v1/models/": KNOWN,
    "GET /v1/models/{model_id:path}": KNOWN,
    "POST /tokenize": KNOWN,
    "POST /detokenize": KNOWN,
    "GET /tokenizer_info": KNOWN,
    "POST /v1/chat/completions": ASKERS,
    "POST /v1/completions": ASKERS,
    "POST /v1/responses": ASKERS,
    "GET /v1/costs": READERS,
    "POST /v1/admin/keys": {"admin"},
    "GET /v1/admin/keys": {"admin"},
    "DELETE /v1/admin/keys/{key_id}": {"admin"},
    "GET /v1/admin/audit": {"admin"},
    "POST /v1/load_lora_adapter": {"admin"},
    "POST /v1/unload_lora_adapter": {"admin"},
    "DELETE /v1/models/{model_id:path}": WORKERS,
    "POST /v1/embeddings": ASKERS,
    "POST /v1/files": WORKERS,
    "GET /v1/files": READERS,
    "GET /v1/files/{file_id}": READERS,
    "GET /v1/files/{file_id}/content": READERS,
    "DELETE /v1/files/{file_id}": WORKERS,
    "POST /v1/fine_tuning/jobs": WORKERS,
    "GET /v1/fine_tuning/jobs": READERS,
    "GET /v1/fine_tuning/jobs/{fine_tuning_job_id}": READERS,
    "POST /v1/fine_tuning/jobs/{fine_tuning_job_id}/cancel": WORKERS,
    "POST /v1/fine_tuning/jobs/{fine_tuning_job_id}/pause": WORKERS,
    "POST /v1/fine_tuning/jobs/{fine_tuning_job_id}/resume": WORKERS,
    "GET /v1/fine_tuning/jobs/{fine_tuning_job_id}/events": READERS,
    "GET /v1/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints": READERS,
    "POST /v1/evals": WORKERS,
    "GET /v1/evals": READERS,
    "GET /v1/evals/{eval_id}": READERS,
    "POST /v1/evals/{eval_id}": WORKERS,
    "DELETE /v1/evals/{eval_id}": WORKERS,
    "POST /v1/evals/{eval_id}/runs": WORKERS,
    "GET /v1/evals/{eval_id}/runs": READERS,
    "GET /v1/evals/{eval_id}/runs/{run_id}": READERS,
    "POST /v1/evals/{eval_id}/runs/{run_id}": WORKERS,
    "POST /v1/evals/{eval_id}/runs/{run_id}/cancel": WORKERS,
    "DELETE /v1/evals/{eval_id}/runs/{run_id}": WORKERS,
    "GET /v1/evals/{eval_id}/runs/{run_id}/output_items": READERS,
    "GET /v1/evals/{eval_id}/runs/{run_id}/output_items/{output_item_id}": READERS,
    "POST /v1/batches": WORKERS,
    "GET /v1/batches": READERS,
    "GET /v1/batches/{batch_id}": READERS,
    "POST /v1/batches/{batch_id}/cancel": WORKERS,
    "POST /v1/feedback": ASKERS,
    "GET /v1/review": READERS,
    "DELETE /v1/review": WORKERS,
    "GET /v1/review/{answer_id}": READERS,
    "POST /v1/review/{answer_id}": WORKERS,
    "DELETE /v1/review/{answer_id}": WORKERS,
    "GET /v1/corrections": READERS,
    "GET /v1/corrections/{expert}": READERS,
    "POST /v1/corrections/{expert}/dataset": WORKERS,
    "POST /v1/corrections/{expert}/retrain": WORKERS,
    "POST /v1/corrections/{expert}/prefer": WORKERS,
    "PUT /v1/corrections/{expert}/rule": WORKERS,
    "DELETE /v1/corrections/{expert}/rule": WORKERS,
    "GET /v1/suggestions": READERS,
    "POST /v1/suggestions": WORKERS,
    "GET /v1/copilot/databases": READERS,
    "POST /v1/copilot/databases": WORKERS,
    "GET /v1/copilot/databases/{name}": READERS,
    "DELETE /v1/copilot/databases/{name}": WORKERS,
    "POST /v1/copilot/drafts": WORKERS,
    "POST /v1/copilot/queries": WORKERS,
    "GET /": KNOWN,
    "GET /experts/{name}": READERS,
    "GET /experts/{name}/{number}/card": READERS,
    "POST /experts/{name}/promote": WORKERS,
    "POST /experts/{name}/rollback": WORKERS,
    "GET /train": WORKERS,
    "POST /train/check": WORKERS,
    "POST /train": WORKERS,
    "GET /playground": ASKERS,
    "GET /compare": ASKERS,
    "POST /compare": ASKERS,
    "GET /review": READERS,
    "GET /review/{answer_id}": READERS,
    "POST /review/{answer_id}": WORKERS,
    "POST /review/{answer_id}/delete": WORKERS,
    "POST /review/experts/{name}/retrain": WORKERS,
    "POST /review/experts/{name}/rule": WORKERS,
    "POST /suggestions": WORKERS,
    "GET /suggestions/{answer_id}": WORKERS,
    "POST /suggestions/{answer_id}": WORKERS,
    "GET /copilot": WORKERS,
    "GET /copilot/tables": WORKERS,
    "POST /copilot/databases": WORKERS,
    "POST /copilot/draft": WORKERS,
    "POST /copilot/run": WORKERS,
    "POST /copilot/accept": WORKERS,
    "GET /datasets": READERS,
    "GET /datasets/{digest}": READERS,
    "GET /jobs": READERS,
    "GET /jobs/{job_id}": READERS,
    "GET /jobs/{job_id}/progress": READERS,
    "POST /jobs/{job_id}/{move}": WORKERS,
    "GET /ledger": READERS,
    "GET /keys": {"admin"},
    "POST /keys": {"admin"},
    "POST /keys/{key_id}/revoke": {"admin"},
    "GET /settings": READERS,
}
NOWHERE = ("GET /nothing", "GET /v1/admin/nothing", "PUT /v1/models")
REFUSED = {"invalid_api_key": 401, "not_permitted": 403}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    with Workspace.open(Settings(workspace=tmp_path_factory.mktemp("access"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def guarded(service, workspace):
    with running(service, workspace=workspace) as server:
        yield server


@pytest.fixture(scope="module")
def fresh(service, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fresh")
    with Workspace.open(Settings(workspace=folder)) as opened, running(service, workspace=opened) as server:
        yield server


@pytest.fixture(scope="module")
def secrets(guarded):
    made = {role: guarded.accounts.keys.create(role, role=role).secret for role in Role}
    return {**made, "wrong": "chil_wrong"}


def ask(server, route, secret=None):
    method, path = route.split()
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    with server.http(headers=headers) as http:
        reply = http.request(method, re.sub(r"{[^}]*}", "tickets", path))
    is_error = reply.status_code >= 400 and method != "HEAD"
    return reply.status_code, reply.json()["error"]["code"] if is_error else None


def routes_of(app):
    """(method and path) of all there is, in routers or not."""
    groups = [getattr(route, "original_router", None) for route in app.routes]
    single = [route for route, group in zip(app.routes, groups, strict=True) if group is None]
    routes = [*single, *(route for group in groups if group for route in group.routes)]
    return {f"{method} {route.path}" for route in routes for method in route.methods}


def test_the_table_names_every_route_and_no_other(service, workspace):
    app = create_app(service, ServerSettings(), workspace.accounts, workspace=workspace)
    assert routes_of(app) == set(ACCESS) == set(EXPECTED)


def test_a_route_without_an_entry_is_not_served():
    with pytest.raises(KeyError, match="/new"):
        Doors([Route("/new", lambda request: None)])


@pytest.mark.parametrize("who", ["nobody", "wrong", *Role])
@pytest.mark.parametrize("route", EXPECTED)
def test_every_route_for_everybody(guarded, secrets, route, who):
    status, code = ask(guarded, route, secrets.get(who))
    if who in EXPECTED[route]:
        assert code not in REFUSED
        assert status < 500
    else:
        assert status == (401 if who in ("nobody", "wrong") else 403)
        assert code is None or REFUSED[code] == status


@pytest.mark.parametrize("who", ["nobody", "wrong"])
@pytest.mark.parametrize("route", NOWHERE)
def test_what_is_not_there_looks_like_what_is(guarded, secrets, route, who):
    assert ask(guarded, route, secrets.get(who)) == (401, "invalid_api_key")


def test_what_is_not_there_is_told_to_whoever_has_a_key(guarded, secrets):
    found = [ask(guarded, route, secrets[Role.APP]) for route in NOWHERE]
    assert found == [(404, "unknown_url"), (404, "unknown_url"), (405, "method_not_allowed")]


@pytest.mark.parametrize("model", ["tickets", "nobody"])
def test_a_role_that_may_not_ask_does_not_learn_who_is_there(guarded, secrets, model):
    with guarded.http(headers={"Authorization": f"Bearer {secrets[Role.VIEWER]}"}) as http:
        reply = http.post("/v1/completions", json={"model": model, "prompt": "x"})
    assert reply.status_code == 403
    assert model not in reply.text


@pytest.mark.parametrize("route", EXPECTED)
def test_a_fresh_loopback_server_takes_anybody_for_a_member(fresh, route):
    _, code = ask(fresh, route, "none")
    allowed = "member" in EXPECTED[route]
    assert allowed is (EXPECTED[route] != {"admin"})
    assert code not in REFUSED if allowed else code == "invalid_api_key"


def test_the_first_key_ends_that_for_good(service):
    with running(service) as server, server.http() as http:
        assert http.get("/v1/models").status_code == 200
        made = server.accounts.keys.create("a", role=Role.APP)
        assert http.get("/v1/models").status_code == 401
        server.accounts.keys.revoke(made.key.id)
        assert http.get("/v1/models").status_code == 401


def test_a_server_for_others_is_never_open(service):
    with opened_accounts(lambda: 0.0) as accounts:
        from starlette.testclient import TestClient

        app = create_app(service, ServerSettings(host="0.0.0.0"), accounts)
        assert TestClient(app).get("/v1/models").status_code == 401


def test_code_of_a_user_is_run_from_the_command_line_only():
    sources = Path(chiliad.__file__).parent
    running = {
        path.relative_to(sources).parts[0] for path in sources.rglob("*.py") if "load_scorer(" in path.read_text()
    }
    assert running == {"cli", "metrics"}
