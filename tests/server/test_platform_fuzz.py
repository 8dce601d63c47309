"""No body and no id makes the routes over a workspace break."""

import json

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

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


def stay_whole(http, path, required, file_id):
    @CHECKED
    @given(st.fixed_dictionaries(required, optional=EXTRA))
    def check(body):
        content = json.dumps(body).replace("FILE", file_id)
        reply = http.post(path, content=content, headers={"Content-Type": "application/json"})
        assert reply.status_code in (200, 201, 400, 404), (path, body, reply.text)
        if reply.status_code >= 400:
            assert reply.json()["error"]["fix"]

    check()


@pytest.mark.parametrize("path", ["files", "fine_tuning/jobs", "evals", "batches"])
@pytest.mark.parametrize("name", ["%00", "x%00y", "..%2f..", "%ff", "\N{GREEK SMALL LETTER ALPHA}", "a" * 300, "job-1"])
def test_no_id_makes_a_route_break(http, path, name):
    for reply in (http.get(f"/v1/{path}/{name}"), http.get(f"/v1/{path}?after={name}")):
        assert reply.status_code in (400, 404), (reply.url, reply.text)
        assert reply.json()["error"]["fix"]


def test_a_metadata_filter_is_checked(http):
    for query in ("metadata[a%00]=1", "metadata[a]=%00", 'metadata["]=1', "metadata=null", "metadata[]=1"):
        assert http.get(f"/v1/fine_tuning/jobs?{query}").status_code == 400
    assert http.get("/v1/fine_tuning/jobs?metadata[a.b]=1").json()["data"] == []
