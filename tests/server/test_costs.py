"""Every answer is in the ledger, with what it took; clients and admins are told the same."""

import time

import pytest

from chiliad.server.bill import COST_HEADER
from chiliad.store import GroupBy, Role
from tests.server.conftest import running

CHAT, COMPLETE = "/v1/chat/completions", "/v1/completions"
ASK = {"model": "tickets", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}


@pytest.fixture
def server(service):
    with running(service) as server:
        yield server


def client(server, **options):
    made = server.accounts.keys.create("a", **{"role": Role.APP, **options})
    return made.key.id, server.http(headers={"Authorization": f"Bearer {made.secret}"})


def recorded(server, by=GroupBy.MODEL):
    """The sums, once there are some: a stream is recorded after its last byte was sent."""
    deadline = time.monotonic() + 30
    while not (sums := sums_of(server, by)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return sums


def sums_of(server, by=GroupBy.MODEL):
    assert server.accounts.recorder.flush()
    return {one.of: one for one in server.accounts.ledger.sums(by)}


def test_an_answer_says_what_it_cost_and_the_ledger_says_the_same(server):
    key_id, http = client(server)
    with http:
        reply = http.post(CHAT, json=ASK)
    used = reply.json()["usage"]
    entry = recorded(server)["tickets@2"]
    assert (entry.answers, entry.prompt_tokens, entry.answer_tokens) == (
        1, used["prompt_tokens"], used["completion_tokens"],
    )  # fmt: skip
    assert entry.cached_tokens == used["prompt_tokens_details"]["cached_tokens"]
    assert 0 < entry.machine_s <= entry.wait_s
    assert entry.cost == pytest.approx(entry.machine_s), "the machine costs 1 a second here"
    assert used["cost"] == pytest.approx(entry.cost)
    assert float(reply.headers[COST_HEADER]) == pytest.approx(entry.cost, abs=1e-9)
    assert list(recorded(server, GroupBy.KEY)) == [key_id]


def test_prompts_count_once_and_answers_each(server):
    _, http = client(server)
    body = {"model": "endless", "prompt": ["the cat sat", "the dog"], "n": 3, "max_tokens": 2}
    with http:
        used = http.post(COMPLETE, json=body).json()["usage"]
    entry = recorded(server)["endless@1"]
    assert (entry.requests, entry.answers, entry.answer_tokens) == (1, 6, 12)
    assert entry.prompt_tokens == used["prompt_tokens"]


def test_a_stream_tells_its_cost_with_its_usage(server):
    _, http = client(server)
    with http:
        text = http.post(CHAT, json={**ASK, "stream": True, "stream_options": {"include_usage": True}}).text
    assert '"cost":0.' in text
    assert recorded(server)["tickets@2"].answers == 1


def test_an_answer_that_its_client_leaves_is_paid_for_as_far_as_it_came(server):
    _, http = client(server)
    with http, http.stream("POST", CHAT, json={**ASK, "model": "endless", "max_tokens": 400, "stream": True}) as reply:
        next(reply.iter_lines())
    entry = recorded(server)["endless@1"]
    assert entry.answers == 0
    assert entry.machine_s > 0
    assert entry.answer_tokens < 400


def test_what_is_refused_costs_nothing(server):
    _, http = client(server)
    with http:
        assert http.post(COMPLETE, json={"model": "endless", "prompt": [1] * 600, "max_tokens": 1}).status_code == 400
    assert sums_of(server) == {}


def test_a_project_sees_its_own_costs_and_an_admin_all(server):
    for project in ("shop", "desk"):
        _, http = client(server, project=project)
        with http:
            http.post(CHAT, json=ASK)
    _, viewer = client(server, project="shop", role=Role.VIEWER)
    _, admin = client(server, role=Role.ADMIN)
    with viewer, admin:
        own = viewer.get("/v1/costs").json()
        tried = viewer.get("/v1/costs", params={"project": "desk"}).json()
        everything = admin.get("/v1/costs").json()
        desk = admin.get("/v1/costs", params={"project": "desk"}).json()
    assert own["total"]["answers"] == tried["total"]["answers"] == desk["total"]["answers"] == 1
    assert own["project"] == tried["project"] == "shop"
    assert own["keys"] == tried["keys"] != desk["keys"]
    assert everything["total"]["answers"] == 2


def test_the_report_has_cost_per_correct_answer_where_there_is_a_score_and_says_whose(server):
    _, http = client(server, role=Role.ADMIN)
    with http:
        for model in ("tickets", "endless"):
            http.post(CHAT, json={**ASK, "model": model})
        report = http.get("/v1/costs", params={"hosted": ["gpt-5-mini", "no-such-model"]}).json()
        later = http.get("/v1/costs", params={"since": 4e9}).json()
    untested, tickets = report["experts"]
    assert (untested["of"], untested["cost_per_correct"], untested["score"]) == ("endless@1", None, None)
    assert tickets["score"] == {"share": 0.5, "rows": 4, "by": "test", "source": "four rows"}
    assert tickets["cost_per_correct"] == pytest.approx(2 * tickets["cost_per_answer"])
    assert report["machine_per_hour"] == 3600
    gpt, unknown = report["hosted"]
    assert gpt["cost"] > 0
    assert (unknown["model"], unknown["cost"], unknown["cost_per_answer"]) == ("no-such-model", None, None)
    (trained,) = report["trainings"]
    assert (trained["expert"], trained["first"]["cost"], trained["newest"]["cost"]) == ("tickets", 40.0, 10.0)
    assert later["total"]["requests"] == 0
