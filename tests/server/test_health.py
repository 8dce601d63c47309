import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

import chiliad
from chiliad.config import EngineSettings
from chiliad.workspace import Workspace
from tests.server.conftest import running
from tests.server.served import EngineService


def test_health_ready_and_version(http):
    assert http.get("/health").json() == {"status": "ok"}
    assert http.get("/ready").json() == {"status": "ready"}
    assert http.get("/version").json() == {"version": chiliad.__version__}


def test_a_server_whose_engine_has_ended_is_not_ready(settings):
    with (
        Workspace.open(settings) as workspace,
        running(workspace.service(bases=["tiny"]), workspace=workspace) as served,
        served.http() as http,
    ):
        assert http.get("/ready").status_code == 200
        workspace.rest()
        assert http.get("/ready").status_code == 200, "the next request starts an engine"
        workspace.served("tiny").engine.close()
        reply = http.get("/ready")
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "not_ready")
        assert http.get("/health").status_code == 200


def test_the_schema_names_every_route(http):
    paths = http.get("/openapi.json").json()["paths"]
    assert {"/v1/models", "/v1/models/{model_id}", "/v1/chat/completions", "/v1/completions", "/tokenize"} <= set(paths)


def test_the_schema_says_how_errors_look(http):
    schema = http.get("/openapi.json").json()
    responses = schema["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert set(responses) == {"200", "4XX", "5XX"}
    assert "fix" in schema["components"]["schemas"]["Error"]["required"]


def meters(http: httpx.Client) -> dict[tuple[str, str], float]:
    """Every sample by its name and the value of its label, if it has one."""
    reply = http.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(reply.text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_meters_count_what_was_asked(service):
    with running(service) as server, server.http() as http, server.openai() as client:
        asked = [client.completions.create(model="endless", prompt="x", max_tokens=3, n=2) for _ in range(2)]
        found = meters(http)
    assert found["chiliad_requests_total",] == 2
    assert found["chiliad_answers_total",] == 4
    assert found["chiliad_tokens_total", "answer"] == 12
    assert found["chiliad_tokens_total", "prompt"] == sum(one.usage.prompt_tokens for one in asked)
    assert found["chiliad_request_seconds_count",] == 2
    assert found["chiliad_requests_running",] == 0
    assert found["chiliad_machine_seconds_total",] > 0
    assert found["process_cpu_seconds_total",] > 0


def test_meters_count_what_was_turned_away(base):
    service = EngineService(base, EngineSettings(batch_max=1, context_max=64, queue_max=1))
    with running(service) as server, server.http() as http, server.openai() as client:
        with pytest.raises(openai.RateLimitError):
            client.completions.create(model="endless", prompt="x", max_tokens=50, n=8)
        assert meters(http)["chiliad_refused_total", "overloaded"] == 1
    service.close()
