"""No body and no id makes the routes over a workspace break."""

import json
from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chiliad.store import Role
from tests.server.platform import json_lines, serving, with_hosted_names
from tests.server.test_fuzz import VALUES

CRITERION = st.fixed_dictionaries(
    {"type": st.sampled_from(["string_check", "label_model", "score_model", "text_similarity", "python", "x"])},
    optional=dict.fromkeys(
        ("name", "input", "reference", "operation", "model", "labels", "passing_labels", "range"), VALUES
    ),
)
SOURCE = st.fixed_dictionaries(
    {"type": st.sampled_from(["file_content", "file_id", "stored_completions"])},
    optional={"content": st.lists(st.fixed_dictionaries({"item": VALUES}), max_size=2), "id": VALUES},
)
DATA = st.fixed_dictionaries(
    {"type": st.sampled_from(["jsonl", "completions", "responses"]), "source": SOURCE | VALUES},
    optional={"model": st.just("tiny") | VALUES, "input_messages": VALUES, "sampling_params": VALUES},
)
EXTRA = dict.fromkeys(("name", "metadata", "suffix", "seed", "method", "hyperparameters", "dimensions"), VALUES)
SAID = dict.fromkeys(("boolean", "score", "comment", "demonstration", "outcome"), VALUES)
PLATFORM = ("files", "fine_tuning/jobs", "evals", "batches")
BODIES = {
    "/v1/fine_tuning/jobs": {"model": st.just("tiny") | VALUES, "training_file": st.just("FILE") | VALUES},
    "/v1/evals": {
        "data_source_config": st.fixed_dictionaries({"type": st.just("custom"), "item_schema": VALUES}) | VALUES,
        "testing_criteria": st.lists(CRITERION, max_size=2) | VALUES,
    },
    "/v1/evals/EVAL": {},
    "/v1/evals/EVAL/runs": {"data_source": DATA | VALUES},
    "/v1/batches": {
        "input_file_id": st.just("FILE") | VALUES,
        "endpoint": st.just("/v1/completions") | VALUES,
        "completion_window": st.just("24h") | VALUES,
    },
    "/v1/embeddings": {"model": st.just("all-minilm-l6-v2") | VALUES, "input": VALUES},
}
EXACT = {"type": "string_check", "name": "e", "input": "{{item.x}}", "reference": "y", "operation": "eq"}
CHECKED = hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def http(settings):
    with serving(with_hosted_names(settings)) as served, served.http() as http:
        yield http


def test_any_json_gets_an_answer_or_a_named_error(http):
    form = {"files": {"file": ("a.jsonl", json_lines([{"x": 1}]))}, "data": {"purpose": "batch"}}
    file_id = http.post("/v1/files", **form).json()["id"]
    body = {"data_source_config": {"type": "custom", "item_schema": {}}, "testing_criteria": [EXACT]}
    eval_id = http.post("/v1/evals", json=body).json()["id"]

    for path, required in BODIES.items():
        stay_whole(http, path.replace("EVAL", eval_id), required, file_id)


def stay_whole(http, path, required, file_id, optional=EXTRA):
    @CHECKED
    @given(st.fixed_dictionaries(required, optional=optional))
    def check(body):
        content = json.dumps(body).replace("FILE", file_id)
        reply = http.post(path, content=content, headers={"Content-Type": "application/json"})
        assert reply.status_code in (200, 201, 400, 404), (path, body, reply.text)
        if reply.status_code >= 400:
            assert reply.json()["error"]["fix"]

    check()


def test_any_json_about_an_answer_gets_an_answer_or_a_named_error(http):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "store": True}
    answer_id = http.post("/v1/chat/completions", json=body).json()["id"]
    decisions = st.sampled_from(["accept", "correct", "dismiss"]) | VALUES

    stay_whole(http, "/v1/feedback", {"answer_id": st.just("FILE") | VALUES}, answer_id, SAID)
    stay_whole(http, f"/v1/review/{answer_id}", {"decision": decisions}, answer_id, {"answer": VALUES})
    stored = {name: st.just(value) for name, value in body.items()} | {"metadata": VALUES, "store": VALUES}
    stay_whole(http, "/v1/chat/completions", stored, answer_id, {})


@pytest.fixture
def admins(settings, database_url):
    """What an admin asks, of a server on each kind of database."""
    with serving(replace(settings, database_url=database_url)) as served:
        secret = served.accounts.keys.create("admin", role=Role.ADMIN).secret
        with served.http(headers={"Authorization": f"Bearer {secret}"}) as http:
            yield http


@pytest.mark.parametrize("name", ["%00", "x%00y", "..%2f..", "%ff", "\N{GREEK SMALL LETTER ALPHA}", "a" * 300, "job-1"])
def test_no_id_makes_a_route_break(admins, name):
    asked = [f"/v1/{path}{end}" for path in PLATFORM for end in (f"/{name}", f"?after={name}")]
    for reply in (*map(admins.get, asked), admins.delete(f"/v1/admin/keys/{name}"), admins.get(f"/v1/models/{name}")):
        assert reply.status_code in (400, 404), (reply.url, reply.text)
        assert reply.json()["error"]["fix"]
    assert admins.get("/v1/costs", params={"project": unquote(name)}).status_code in (200, 400)


@pytest.mark.parametrize("name", ["%00", "x%00y", "%ff"])
def test_no_id_makes_a_page_break(admins, name):
    moves = [f"/experts/{name}/{move}" for move in ("promote", "rollback", "evaluate")]
    form = {"data": {"number": 1}, "headers": from_our_page(admins)}
    replies = [
        *(admins.get(f"/experts/{name}{more}") for more in ("", "?version=1", "/1/card")),
        *(admins.post(address, **form) for address in (*moves, f"/keys/{name}/revoke")),
    ]
    assert {reply.status_code for reply in replies} <= {400, 404}, [(reply.url, reply.text) for reply in replies]


def test_a_form_takes_no_zero_character(http):
    decided = {"decision": "correct", "answer": "a\0b"}
    assert http.post("/review/answer-1", data=decided, headers=from_our_page(http)).status_code == 400
    given = {"files": {"file": ("a.csv", b"text,label\n")}, "data": {"instruction": "a\0b"}}
    refused = http.post("/train", **given, headers=from_our_page(http))
    assert refused.status_code == 400
    assert "instruction" in refused.text


def from_our_page(http):
    return {"Origin": str(http.base_url).rstrip("/")}


def test_a_metadata_filter_is_checked(http):
    for query in ("metadata[a%00]=1", "metadata[a]=%00", 'metadata["]=1', "metadata=null", "metadata[]=1"):
        assert http.get(f"/v1/fine_tuning/jobs?{query}").status_code == 400
    assert http.get("/v1/fine_tuning/jobs?metadata[a.b]=1").json()["data"] == []
