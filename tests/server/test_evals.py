"""`/v1/evals` as the openai client uses it: criteria, runs by the real worker, items."""

import json

import openai
import pytest

from tests.server.platform import json_lines, serving, with_hosted_names, work

SCHEMA = {"type": "object", "properties": {"input": {"type": "string"}, "wanted": {"type": "string"}}}
EXACT = {
    "type": "string_check",
    "name": "exact",
    "input": "{{sample.output_text}}",
    "reference": "{{item.wanted}}",
    "operation": "eq",
}
ROWS = [
    {"item": {"input": "a", "wanted": "Hello World"}, "sample": {"output_text": "Hello World"}},
    {"item": {"input": "b", "wanted": "hello"}, "sample": {"output_text": "Hello World"}},
    {"item": {"input": "c"}, "sample": {"output_text": "x"}},
]
CONTENT = {"type": "file_content", "content": [{"item": {"input": "a"}}]}


@pytest.fixture
def settings(settings):
    return with_hosted_names(settings)


@pytest.fixture
def platform(settings):
    with serving(settings) as served:
        yield served


@pytest.fixture
def client(platform):
    with platform.openai() as client:
        yield client


@pytest.fixture
def http(platform):
    with platform.http() as http:
        yield http


def create(client, *criteria, name="e", **options):
    config = {"type": "custom", "item_schema": SCHEMA, "include_sample_schema": True}
    return client.evals.create(
        **{"name": name, "data_source_config": config, "testing_criteria": list(criteria or [EXACT]), **options}
    )


def run(client, made, rows=ROWS, **options):
    source = {"type": "jsonl", "source": {"type": "file_content", "content": rows}}
    return client.evals.runs.create(made.id, **{"name": "r", "data_source": source, **options})


def sampled(source, **options):
    messages = {"type": "template", "template": [{"role": "user", "content": "Say {{item.input}}"}]}
    return {"type": "completions", "model": "gpt-4o", "source": source, "input_messages": messages, **options}


def test_evals_are_kept_listed_changed_and_deleted(client):
    made = [create(client, name=f"e{n}", metadata={"n": str(n)}) for n in range(3)]
    assert made[0].object == "eval"
    assert made[0].data_source_config.schema_["properties"]["item"] == SCHEMA
    assert made[0].testing_criteria[0].operation == "eq"
    assert [one.id for one in client.evals.list(limit=2)] == [one.id for one in made]
    assert [one.id for one in client.evals.list(order="desc")] == [one.id for one in reversed(made)]
    assert client.evals.update(made[1].id, name="new").name == "new"
    assert client.evals.retrieve(made[1].id).metadata == {"n": "1"}
    assert client.evals.delete(made[1].id).deleted
    with pytest.raises(openai.NotFoundError) as error:
        client.evals.retrieve(made[1].id)
    assert error.value.code == "eval_not_found"


def test_an_eval_that_was_exported_is_taken_as_it_is(client, http):
    exported = create(client, EXACT, metadata={"k": "v"}).to_dict()
    assert "item_schema" not in exported["data_source_config"]
    again = http.post("/v1/evals", json=exported).json()
    assert again.pop("id") != exported.pop("id")
    assert {**again, "created_at": 0} == {**exported, "created_at": 0}
    without = {"type": "custom"}
    with pytest.raises(openai.BadRequestError, match="item_schema"):
        client.evals.create(data_source_config=without, testing_criteria=[EXACT])


def test_answers_that_are_there_are_graded(client, settings):
    like = {**EXACT, "name": "like", "reference": "WORLD", "operation": "ilike"}
    alike = {
        "type": "text_similarity",
        "name": "alike",
        "input": "{{sample.output_text}}",
        "reference": "{{item.wanted}}",
    }
    fuzzy = {**alike, "evaluation_metric": "fuzzy_match", "pass_threshold": 0.9}
    cosine = {**alike, "name": "cosine", "evaluation_metric": "cosine", "pass_threshold": 0.3}
    made = create(client, like, EXACT, fuzzy, cosine)
    queued = run(client, made, metadata={"k": "v"})
    assert (queued.status, queued.result_counts.total, queued.eval_id) == ("queued", 0, made.id)
    work(settings)

    done = client.evals.runs.retrieve(queued.id, eval_id=made.id)
    counts = done.result_counts
    assert (done.status, done.metadata) == ("completed", {"k": "v"})
    assert (counts.total, counts.passed, counts.failed, counts.errored) == (3, 1, 1, 1)
    by_name = {one.testing_criteria: (one.passed, one.failed) for one in done.per_testing_criteria_results}
    assert by_name == {"like": (2, 1), "exact": (1, 1), "alike": (1, 1), "cosine": (2, 0)}
    items = list(client.evals.runs.output_items.list(done.id, eval_id=made.id, limit=2))
    assert [(item.datasource_item_id, item.status) for item in items] == [(0, "pass"), (1, "fail"), (2, "error")]
    assert items[0].datasource_item == ROWS[0]["item"]
    assert [grade.score for grade in items[0].results[:3]] == [1, 1, 1]
    assert "item.wanted" in items[2].sample.error.message
    failed = client.evals.runs.output_items.list(done.id, eval_id=made.id, status="fail")
    assert [item.id for item in failed] == [items[1].id, items[2].id]
    alone = client.evals.runs.output_items.retrieve(items[1].id, eval_id=made.id, run_id=done.id)
    assert alone.to_dict() == items[1].to_dict()

    assert [one.id for one in client.evals.runs.list(made.id, status="completed")] == [done.id]
    assert client.evals.runs.list(made.id, status="failed").data == []
    assert client.evals.runs.delete(done.id, eval_id=made.id).deleted
    assert client.evals.runs.list(made.id).data == []


def test_a_model_answers_the_rows_of_a_file_and_models_judge(client, settings):
    judge = {"model": "tiny", "input": [{"role": "user", "content": "Is {{sample.output_text}} good?"}]}
    label = {"type": "label_model", "name": "label", **judge, "labels": ["yes", "no"], "passing_labels": ["yes", "no"]}
    score = {"type": "score_model", "name": "score", **judge, "range": [1, 5], "pass_threshold": 1}
    score["sampling_params"] = {"max_completions_tokens": 200}
    made = create(client, label, score)
    rows = json_lines({"item": {"input": f"word {n}"}} for n in range(3))
    file = client.files.create(file=("rows.jsonl", rows), purpose="evals")
    source = sampled({"type": "file_id", "id": file.id}, sampling_params={"max_completion_tokens": 5, "seed": 3})
    started = run(client, made, data_source=source)
    work(settings)

    done = client.evals.runs.retrieve(started.id, eval_id=made.id)
    assert (done.status, done.model, done.result_counts.total) == ("completed", "gpt-4o", 3)
    [item, *_] = client.evals.runs.output_items.list(done.id, eval_id=made.id)
    assert item.sample.model == "tiny"
    assert item.sample.input[0].content == "Say word 0"
    online = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "Say word 0"}], max_tokens=5, seed=3
    )
    assert item.sample.output[0].content == online.choices[0].message.content
    assert item.results[0].sample["output"][0]["content"] in {"yes", "no"}
    assert all(1 <= grade.score <= 5 for grade in item.results[1:])
    [usage] = done.per_model_usage
    assert (usage.run_model_name, usage.invocation_count >= 6) == ("tiny", True)


def test_a_run_in_the_words_of_responses_asks_the_same(client, settings):
    wanted = {"type": "object", "properties": {"n": {"enum": [7, 8]}}, "required": ["n"], "additionalProperties": False}
    form = {"type": "json_schema", "name": "number", "schema": wanted}
    template = [{"type": "message", "role": "user", "content": {"type": "input_text", "text": "Say {{item.input}}"}}]
    source = sampled(CONTENT, type="responses", input_messages={"type": "template", "template": template})
    source["sampling_params"] = {"text": {"format": form}, "max_completion_tokens": 200, "reasoning_effort": "low"}
    made = create(client, {**EXACT, "input": "{{sample.output_json.n}}", "reference": "7"})
    started = run(client, made, data_source=source)
    assert started.data_source.sampling_params.text.format.schema_ == wanted
    work(settings)

    [item] = client.evals.runs.output_items.list(started.id, eval_id=made.id)
    assert item.sample.input[0].content == "Say a"
    assert item.status == ("pass" if json.loads(item.sample.output[0].content) == {"n": 7} else "fail")


def test_a_waiting_run_is_cancelled_and_an_eval_goes_with_its_runs(client):
    made = create(client)
    started = run(client, made)
    with pytest.raises(openai.ConflictError):
        client.evals.delete(made.id)
    assert client.evals.runs.cancel(started.id, eval_id=made.id).status == "canceled"
    other = create(client)
    with pytest.raises(openai.NotFoundError):
        client.evals.runs.retrieve(started.id, eval_id=other.id)
    assert client.evals.delete(made.id).deleted


@pytest.mark.parametrize(
    ("options", "code", "param"),
    [
        ({"data_source_config": {"type": "stored_completions"}}, "unsupported_feature", "data_source_config.type"),
        ({"data_source_config": {"type": "logs"}}, "unsupported_feature", "data_source_config.type"),
        (
            {"testing_criteria": [EXACT, {"type": "python", "name": "p", "source": "1"}]},
            "unsupported_feature",
            "testing_criteria.1.type",
        ),
        ({"testing_criteria": []}, "invalid_value", "testing_criteria"),
        (
            {"testing_criteria": [EXACT, {**EXACT, "operation": "near"}]},
            "invalid_value",
            "testing_criteria.1.operation",
        ),
        (
            {"testing_criteria": [{"type": "string_check", "name": "n"}]},
            "missing_required_parameter",
            "testing_criteria.0.input",
        ),
        ({"data_source_config": {"type": "custom"}}, "invalid_value", "data_source_config"),
    ],
)
def test_an_eval_that_cannot_be_measured_here_is_refused(client, options, code, param):
    with pytest.raises(openai.BadRequestError) as error:
        create(client, **options)
    assert (error.value.code, error.value.param) == (code, param)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have_are_not_kept(client, http, number):
    judge = {"type": "score_model", "name": "j", "model": "tiny", "input": [{"role": "user", "content": "x"}]}
    alike = {"type": "text_similarity", "name": "s", "input": "a", "reference": "b", "evaluation_metric": "gleu"}
    config = {"type": "custom", "item_schema": SCHEMA}
    bodies = [
        ("/v1/evals", {"data_source_config": config, "testing_criteria": [{**criterion, **figure}]})
        for criterion, figure in (
            (judge, {"range": [0, "N"]}),
            (judge, {"pass_threshold": "N"}),
            (alike, {"pass_threshold": "N"}),
        )
    ]
    asked = sampled(CONTENT, type="responses", sampling_params={"temperature": "N"})
    bodies.append((f"/v1/evals/{create(client).id}/runs", {"data_source": asked}))
    for path, body in bodies:
        text = json.dumps(body).replace('"N"', number)
        reply = http.post(path, content=text, headers={"Content-Type": "application/json"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_value"), text


@pytest.mark.parametrize(
    ("source", "error", "code"),
    [
        (sampled({"type": "stored_completions"}), openai.BadRequestError, "unsupported_feature"),
        (sampled({"type": "responses"}, type="responses"), openai.BadRequestError, "unsupported_feature"),
        (
            sampled(CONTENT, type="responses", sampling_params={"tools": [{"type": "web_search"}]}),
            openai.BadRequestError,
            "unsupported_feature",
        ),
        (sampled({"type": "file_id", "id": "file-none"}), openai.BadRequestError, "invalid_data_source"),
        (
            {**sampled(CONTENT), "model": "nobody"},
            openai.NotFoundError,
            "model_not_found",
        ),
    ],
)
def test_a_run_that_cannot_be_done_is_refused(client, source, error, code):
    with pytest.raises(error) as caught:
        run(client, create(client), data_source=source)
    assert caught.value.code == code


def test_a_bad_id_in_a_path_is_named_beside_a_good_body(http):
    reply = http.post("/v1/evals/a!b", json={"name": "n"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "eval_id")
