"""No address in a request is ever called, no path in one ever opened: whatever field it stands in."""

import json
import socket
from contextlib import closing

import pytest

from chiliad.store import Role
from tests.server.platform import json_lines, serving


@pytest.fixture
def trap():
    """A port that counts who comes."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=16)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.fixture
def server(settings):
    with serving(settings) as served:
        yield served


@pytest.fixture
def http(server):
    secret = server.accounts.keys.create("admin", role=Role.ADMIN).secret
    headers = {"Authorization": f"Bearer {secret}", "Origin": server.url}
    with server.http(headers=headers) as http:
        yield http


def somebody_came(listener):
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        return False
    connection.close()
    return True


def bodies(address):
    """Requests that name `address` wherever a careless server would fetch it."""
    said = [{"role": "user", "content": "hello"}]
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": address}}]}
    schema = {"$schema": address, "$id": address, "$ref": address}
    criterion = {"type": "label_model", "name": "a", "model": address, "input": said, "labels": ["x"]}
    yield "/v1/chat/completions", {"model": address, "messages": said}
    yield "/v1/chat/completions", {"model": "tiny", "messages": [picture]}
    yield "/v1/chat/completions", {"model": "tiny", "messages": said, "max_tokens": 1, "guided_json": schema}
    yield "/v1/chat/completions", {"model": "tiny", "messages": said, "max_tokens": 1, "metadata": {"url": address}}
    yield "/v1/responses", {"model": "tiny", "input": [{"type": "input_file", "file_url": address}]}
    yield "/v1/responses", {"model": "tiny", "input": "x", "tools": [{"type": "mcp", "server_url": address}]}
    yield "/v1/completions", {"model": f"tiny/{address}", "prompt": address, "max_tokens": 1}
    yield "/v1/embeddings", {"model": address, "input": address}
    yield "/tokenize", {"model": address, "prompt": address}
    yield "/v1/fine_tuning/jobs", {"model": address, "training_file": address}
    yield "/v1/fine_tuning/jobs", {"model": "tiny", "training_file": "FILE", "validation_file": address}
    yield "/v1/fine_tuning/jobs", {"model": address, "training_file": "FILE"}
    yield "/v1/batches", {"input_file_id": address, "endpoint": address, "completion_window": "24h"}
    yield (
        "/v1/evals",
        {"data_source_config": {"type": "custom", "item_schema": schema}, "testing_criteria": [criterion]},
    )
    yield "/v1/load_lora_adapter", {"lora_name": "a", "lora_path": address, "base_model_name": address}
    yield "/v1/copilot/drafts", {"model": address, "database": address, "question": address}
    yield "/v1/copilot/queries", {"database": address, "sql": f"ATTACH '{address}' AS a"}
    yield "/v1/feedback", {"answer_id": address, "comment": address}


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}/x", "//127.0.0.1:{}/x", "file:///etc/passwd", "/etc/passwd"])
def test_nothing_is_fetched_and_nothing_opened(http, trap, form):
    address = form.format(trap.getsockname()[1])
    file = {"files": {"file": ("a.jsonl", json_lines([{"x": address}]))}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", **file).json()["id"]
    for path, body in bodies(address):
        content = json.dumps(body).replace("FILE", file_id)
        reply = http.post(path, content=content, headers={"Content-Type": "application/json"})
        assert reply.status_code < 500, (path, reply.text)
        assert "root:" not in reply.text
    table = {"file": ("a.csv", "text,label\n" + "".join(f"{address} {n},{n % 2}\n" for n in range(40)))}
    reply = http.post("/train", files=table, data={"name": "made", "base": address})
    assert reply.status_code == 400, reply.text
    assert http.get(f"/v1/models/{address}").status_code in (400, 404)
    assert not somebody_came(trap)


def test_the_trap_works(trap):
    socket.create_connection(trap.getsockname()).close()
    assert somebody_came(trap)
