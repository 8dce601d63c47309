"""Whatever is sent, the answer is one error in OpenAI's shape, and the server goes on."""

import http.client
import json
import socket
import time

import pytest

from chiliad.config import ServerSettings
from tests.server.conftest import TIMEOUT_S, running

JSON = {"Content-Type": "application/json"}
GOOD = {"model": "endless", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}


def check_error(reply, status, code):
    assert reply.status_code == status
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code", "fix"}
    assert error["code"] == code
    assert error["message"].endswith(error["fix"])
    return error


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1, 2",
        b"[]",
        b'"text"',
        b"nothing",
        b'{"model": "\xff\xfe"}',
        b"\x80\x81",
        b"[" * 100_000,
        b'{"n": ' + b"9" * 5000 + b"}",
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"])
def test_broken_json_and_broken_utf8(http, path, body):
    check_error(http.post(path, content=body, headers=JSON), 400, "invalid_json")


def test_json_under_another_name_is_told_which_header_to_send(http):
    reply = http.post("/v1/chat/completions", content=json.dumps(GOOD), headers={"Content-Type": "text/plain"})
    assert "Content-Type: application/json" in check_error(reply, 400, "invalid_json")["fix"]


def test_half_a_surrogate_pair_is_not_text(http):
    body = b'{"model": "endless", "messages": [{"role": "user", "content": "\\ud800"}]}'
    check_error(http.post("/v1/chat/completions", content=body, headers=JSON), 400, "invalid_value")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have(http, value):
    body = json.dumps(GOOD)[:-1] + f', "temperature": {value}}}'
    check_error(http.post("/v1/chat/completions", content=body, headers=JSON), 400, "invalid_value")


def test_a_missing_field_is_named(http):
    error = check_error(http.post("/v1/chat/completions", json={"model": "x"}), 400, "missing_required_parameter")
    assert error["param"] == "messages"


def test_unknown_paths_and_methods(http):
    check_error(http.get("/v1/nothing"), 404, "unknown_url")
    error = http.get("/v1/chat/completions")
    check_error(error, 405, "method_not_allowed")
    assert error.headers["allow"] == "POST"


def test_markup_in_a_name_comes_back_as_data_only(http):
    reply = http.get("/v1/models/<script>alert(1)</script>")
    check_error(reply, 404, "model_not_found")
    assert reply.headers["content-type"] == "application/json"


@pytest.fixture(scope="module")
def narrow(service):
    with running(service, ServerSettings(body_bytes_max=2000)) as server:
        yield server


def test_a_body_that_says_it_is_too_long(narrow):
    with narrow.http() as http:
        check_error(http.post("/v1/chat/completions", json={**GOOD, "user": "x" * 3000}), 413, "body_too_large")
        assert http.post("/v1/chat/completions", json=GOOD).status_code == 200


def test_a_body_that_does_not_say_how_long_it_is(narrow):
    with narrow.http() as http:
        reply = http.post("/v1/chat/completions", content=iter([b"x" * 500] * 100), headers=JSON)
        check_error(reply, 413, "body_too_large")


def test_a_client_that_sends_all_before_it_reads_still_gets_the_answer(narrow):
    connection = http.client.HTTPConnection("127.0.0.1", narrow.port, timeout=TIMEOUT_S)
    connection.request("POST", "/v1/chat/completions", body=b"x" * (16 << 20), headers=JSON)
    reply = connection.getresponse()

    assert reply.status == 413
    assert json.load(reply)["error"]["code"] == "body_too_large"
    connection.close()


def test_a_body_that_never_ends_is_given_up(service):
    settings = ServerSettings(body_seconds_max=1)
    with running(service, settings) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as slow:
        slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        started = time.monotonic()
        reply = b"".join(iter(lambda: slow.recv(65536), b""))

        assert reply.startswith(b"HTTP/1.1 408")
        assert b"body_too_slow" in reply
        assert time.monotonic() - started < 10
