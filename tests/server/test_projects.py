"""What a project keeps is its own: files, jobs, evals, their runs and batches."""

import pytest

from chiliad.store import AnswerToKeep, Decision, Role
from chiliad.workspace import Workspace
from tests.server.platform import chat, json_lines, serving, work
from tests.tiny import QUICK

ROWS = [chat(f"where is box {n}", ("status", "refund")[n % 2]) for n in range(30)]
BATCH = [{"custom_id": "1", "method": "POST", "url": "/v1/completions", "body": {"model": "tiny", "prompt": "x"}}]
CRITERION = {"type": "string_check", "name": "e", "input": "{{item.x}}", "reference": "y", "operation": "eq"}
EVAL = {
    "data_source_config": {"type": "custom", "item_schema": {"type": "object"}},
    "testing_criteria": [CRITERION],
}
SOURCE = {"type": "jsonl", "source": {"type": "file_content", "content": [{"item": {"x": "y"}}]}}
LISTS = ("/v1/files", "/v1/fine_tuning/jobs", "/v1/evals", "/v1/batches")


@pytest.fixture
def platform(settings):
    with serving(settings) as served:
        yield served


@pytest.fixture
def clients(platform):
    """(ours, theirs, an admin's)"""
    made = [("ours", Role.MEMBER), ("theirs", Role.MEMBER), ("default", Role.ADMIN)]
    keys = [platform.accounts.keys.create("k", role=role, project=project) for project, role in made]
    opened = [platform.http(headers={"Authorization": f"Bearer {key.secret}"}) for key in keys]
    yield opened
    for one in opened:
        one.close()


def made(reply):
    assert reply.status_code in (200, 201), reply.text
    return reply.json()["id"]


def upload(http, rows, purpose):
    return made(http.post("/v1/files", files={"file": ("a.jsonl", json_lines(rows))}, data={"purpose": purpose}))


def fine_tune(http, file_id, **headers):
    asked = {"model": "tiny", "training_file": file_id, "hyperparameters": {"n_epochs": 1}}
    return http.post("/v1/fine_tuning/jobs", json=asked, headers=headers)


@pytest.fixture
def kept(clients):
    """The paths of one of each, that we made."""
    ours = clients[0]
    training, requests = upload(ours, ROWS, "fine-tune"), upload(ours, BATCH, "batch")
    job = made(fine_tune(ours, training))
    eval_id = made(ours.post("/v1/evals", json=EVAL))
    run = made(ours.post(f"/v1/evals/{eval_id}/runs", json={"data_source": SOURCE}))
    asked = {"input_file_id": requests, "endpoint": "/v1/completions", "completion_window": "24h"}
    batch = made(ours.post("/v1/batches", json=asked))
    return {
        "file": f"/v1/files/{training}",
        "job": f"/v1/fine_tuning/jobs/{job}",
        "eval": f"/v1/evals/{eval_id}",
        "run": f"/v1/evals/{eval_id}/runs/{run}",
        "batch": f"/v1/batches/{batch}",
        "page": f"/jobs/{job.replace('ftjob-', 'job-')}",
    }


def listed(http, path):
    return [item["id"] for item in http.get(path).json()["data"]]


def test_nobody_else_finds_what_a_project_keeps(clients, kept):
    ours, theirs, admin = clients
    routes = [
        *(f"GET {path}" for path in kept.values()),
        *(f"GET {kept['file']}/content", f"DELETE {kept['file']}"),
        *(f"GET {kept['job']}/{what}" for what in ("events", "checkpoints")),
        *(f"POST {kept['job']}/{move}" for move in ("pause", "resume", "cancel")),
        *(f"GET {kept['eval']}/runs", f"DELETE {kept['eval']}"),
        *(f"GET {kept['run']}/output_items", f"GET {kept['run']}/output_items/1", f"POST {kept['run']}/cancel"),
        *(f"DELETE {kept['run']}", f"POST {kept['batch']}/cancel"),
        *(f"GET {kept['page']}/progress", *(f"POST {kept['page']}/{move}" for move in ("pause", "resume", "cancel"))),
    ]
    for route in routes:
        method, path = route.split()
        reply = theirs.request(method, path, headers={"Origin": str(theirs.base_url).rstrip("/")})
        assert reply.status_code == 404, route
    assert theirs.post(kept["eval"], json={"name": "x"}).status_code == 404
    assert theirs.post(f"{kept['eval']}/runs", json={"data_source": SOURCE}).status_code == 404
    for path in LISTS:
        assert listed(theirs, path) == [], path
        assert listed(ours, path) == listed(admin, path) != [], path
    for path in kept.values():
        assert ours.get(path).status_code == admin.get(path).status_code == 200, path
    row = kept["page"].rpartition("/")[2]
    assert [row in http.get("/jobs").text for http in clients] == [True, False, True]


def test_nobody_works_with_another_projects_files(clients, kept):
    _, theirs, _ = clients
    file_id = kept["file"].rpartition("/")[2]
    refused = fine_tune(theirs, file_id)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_training_file")
    for body, path in (
        ({"input_file_id": file_id, "endpoint": "/v1/completions", "completion_window": "24h"}, "/v1/batches"),
        ({"data_source": {"type": "jsonl", "source": {"type": "file_id", "id": file_id}}}, None),
    ):
        path = path or f"/v1/evals/{made(theirs.post('/v1/evals', json=EVAL))}/runs"
        reply = theirs.post(path, json=body)
        assert reply.status_code == 400
        assert "There is no file" in reply.json()["error"]["message"]


def test_the_same_idempotency_key_names_another_job_in_another_project(clients):
    jobs = [fine_tune(http, upload(http, ROWS, "fine-tune"), **{"Idempotency-Key": "k"}).json() for http in clients[:2]]
    assert jobs[0]["id"] != jobs[1]["id"]


def test_what_a_job_writes_belongs_to_the_project_that_asked_for_it(settings, clients, kept):
    ours, theirs, _ = clients
    before = set(listed(ours, "/v1/files"))
    ours.post(f"{kept['job']}/cancel")
    work(settings)
    output = ours.get(kept["batch"]).json()["output_file_id"]
    assert set(listed(ours, "/v1/files")) - before == {output}
    assert listed(theirs, "/v1/files") == []


@pytest.fixture
def asked(settings, clients):
    """Six answers that nothing serves well, of one kind, that they got; a search has found it."""
    with Workspace.open(settings) as workspace:
        about = {"key_id": "k", "project": "theirs", "model": "tiny", "expert": None, "certainty": 0.1, "metadata": {}}
        turns = [[{"role": "user", "content": f"where is parcel {n}"}] for n in range(6)]
        kept = [AnswerToKeep(f"odd-{n}", turns=one, text="?", **about) for n, one in enumerate(turns)]
        workspace.feedback.answers.keep(kept)
        search = workspace.feedback.suggest(project="theirs")
        workspace.jobs.lease("worker")
        workspace.jobs.succeed(search.id, "worker", {"looked_at": 6, "kinds": [[one.id for one in kept]]})
        yield workspace


def test_an_expert_made_of_a_suggestion_is_the_projects_own_job(clients, asked):
    ours, theirs, _ = clients
    more = "\n".join(f"where is box {n}\t{('status', 'refund')[n % 2]}" for n in range(30))
    form = {"name": "parcels", "asked": ["odd-0"], "wanted": ["status"], "base": "tiny", "more": more}
    reply = theirs.post("/suggestions/odd-0", data=form, headers={"Origin": str(theirs.base_url).rstrip("/")})
    assert reply.status_code == 303
    assert theirs.get(reply.headers["location"]).status_code == 200
    assert ours.get(reply.headers["location"]).status_code == 404


def test_the_newest_search_of_a_project_is_found_behind_those_of_others(clients, asked):
    search = asked.feedback.suggest(project=None)
    asked.jobs.lease("worker")
    asked.jobs.succeed(search.id, "worker", {"looked_at": 6, "kinds": [["odd-0"]]})
    for _ in range(101):
        search = asked.feedback.suggest(project="ours")
        asked.jobs.lease("worker")
        asked.jobs.succeed(search.id, "worker", {"looked_at": 0, "kinds": []})
    ours, theirs, admin = [http.get("/v1/suggestions").json()["data"] for http in clients]
    assert (ours, [one["requests"] for one in theirs], [one["requests"] for one in admin]) == ([], [6], [1])


@pytest.fixture
def corrected(settings, clients, table):
    """An expert, of which both projects have corrected an answer in the same way."""
    with Workspace.open(settings) as workspace:
        workspace.train("tickets", table, base="tiny", options=QUICK)
        about = {"key_id": "k", "model": "tickets@1", "expert": "tickets", "certainty": 0.1, "metadata": {}}
        for project in ("ours", "theirs"):
            turns = [{"role": "user", "content": "where is parcel 7"}]
            workspace.feedback.answers.keep([AnswerToKeep(project, project=project, turns=turns, text="?", **about)])
            workspace.feedback.decide(project, Decision.CORRECT, "status", by="k", project=project)
        yield workspace


def test_the_retraining_of_one_project_is_not_there_for_another(clients, corrected):
    ours, theirs, _ = clients
    job = ours.post("/v1/corrections/tickets/retrain").json()["job_id"]
    shown = [http.get("/v1/corrections/tickets").json()["retraining"] for http in clients]
    assert [one and one["job_id"] for one in shown] == [job, None, job]
    assert [http.get("/v1/corrections").json()["data"][0]["retraining"] for http in clients] == shown
    assert ours.post("/v1/corrections/tickets/retrain").json()["job_id"] == job
    their_job = theirs.post("/v1/corrections/tickets/retrain").json()["job_id"]
    assert their_job != job
    assert [http.get(f"/jobs/{their_job}").status_code for http in clients] == [404, 200, 200]
