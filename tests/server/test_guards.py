"""Who may call: loopback names only on loopback, pages of this server only, and the key where one is set."""

import pytest

from chiliad.server.middleware.origin import is_loopback
from tests.server.conftest import API_KEY, running


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1:8321", "127.1.2.3", "[::1]:8321", "localhost."]
)
def test_loopback_names_are_answered(http, host):
    assert http.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "0.0.0.0", "localhost@evil.example", "[", ""]
)
@pytest.mark.parametrize("path", ["/", "/health", "/v1/models"])
def test_a_rebound_name_is_not_answered(http, host, path):
    reply = http.get(path, headers={"Host": host})
    assert reply.status_code == 403
    assert reply.json()["error"]["code"] == "host_not_allowed"


def test_a_page_of_this_server_may_ask(served, http):
    assert http.get("/v1/models", headers={"Origin": served.url}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "file://", "x"])
def test_a_page_from_elsewhere_may_not(http, origin):
    reply = http.get("/v1/models", headers={"Origin": origin})
    assert reply.status_code == 403
    assert reply.json()["error"]["code"] == "origin_not_allowed"


def test_no_answer_allows_other_origins_to_read_it(http):
    assert not [name for name in http.get("/v1/models").headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("host", "yes"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("a.b", False),
    ],
)
def test_is_loopback(host, yes):
    assert is_loopback(host) is yes


@pytest.fixture(scope="module")
def locked(service):
    with running(service, api_key=API_KEY) as server:
        yield server


WRONG = ["Bearer wrong", "Bearer", API_KEY.encode(), "Basic " + "x", b"Bearer \xff"]


@pytest.mark.parametrize("credentials", [None, *WRONG])
@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/tickets", "/v1/models/nobody", "/nothing", "/tokenizer_info"]
)
def test_without_the_key_everything_looks_the_same(locked, path, credentials):
    with locked.http() as http:
        reply = http.get(path, headers=None if credentials is None else {"Authorization": credentials})

    assert reply.status_code == 401
    assert reply.json()["error"]["code"] == "invalid_api_key"
    assert "Incorrect API key provided" in reply.json()["error"]["message"], "the words that LiteLLM looks for"
    assert reply.headers["www-authenticate"] == "Bearer"


def test_with_the_key_everything_is_served(locked):
    with locked.http(headers={"Authorization": f"Bearer {API_KEY}".encode()}) as http:
        assert http.get("/v1/models").status_code == 200
        assert http.get("/tokenizer_info").status_code == 200


@pytest.mark.parametrize("path", ["/admin", "/health", "/ready", "/version"])
def test_what_tells_nothing_needs_no_key(locked, path):
    with locked.http() as http:
        reply = http.get(path)
    assert reply.status_code == 200
    assert "tickets" not in reply.text
