"""Raw connections: slow, endless and broken heads cost the server little, and it goes on."""

import json
import socket
import time

import pytest

from chiliad.server import connection
from tests.server.conftest import TIMEOUT_S, running
from tests.server.test_load import wait_until

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def impatient(service, monkeypatch):
    monkeypatch.setattr(connection, "HEAD_SECONDS_MAX", 0.5)
    monkeypatch.setattr(connection, "READ_SECONDS_MAX", 0.5)
    with running(service) as server:
        yield server


def connected(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_S)


def read_all(client):
    try:
        return b"".join(iter(lambda: client.recv(65536), b""))
    except ConnectionResetError:
        return b""


def answer(client):
    """One answer of /health."""
    got = b""
    while not got.endswith(b"}"):
        got += client.recv(65536)
    return got


@pytest.mark.parametrize("said", [b"", b"G", b"GET /health HTTP/1.1\r\nHost: loc"])
def test_a_client_that_does_not_say_what_it_wants_is_hung_up_on(impatient, said):
    with connected(impatient) as client:
        client.sendall(said)
        assert read_all(client) == b""


def keeps_saying(client, text, times, pause_s=0.0):
    """Whether the server takes all of it."""
    try:
        for _ in range(times):
            client.sendall(text)
            time.sleep(pause_s)
    except OSError:
        return False
    return True


def test_one_more_header_now_and_then_is_no_way_to_stay(impatient):
    with connected(impatient) as client:
        client.sendall(b"GET /health HTTP/1.1\r\n")
        assert not keeps_saying(client, b"X: y\r\n", times=200, pause_s=0.1)


def test_a_kept_connection_has_time_between_requests_but_not_within_one(impatient):
    with connected(impatient) as client:
        client.sendall(GET)
        assert answer(client).startswith(b"HTTP/1.1 200")
        time.sleep(1)
        client.sendall(GET)
        assert answer(client).startswith(b"HTTP/1.1 200")
        client.sendall(GET[:-2])
        assert read_all(client) == b""


def test_a_client_that_reads_nothing_of_its_answer_is_hung_up_on(impatient):
    body = json.dumps({"model": "tiny", "prompt": "a" * 900_000}).encode()
    head = b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(TIMEOUT_S)
        client.connect(("127.0.0.1", impatient.port))
        client.sendall((head % len(body) + body) * 8)
        open_ones = impatient.server.server_state.connections
        wait_until(lambda: open_ones)
        wait_until(lambda: not open_ones)


def test_a_client_that_reads_slowly_gets_all_of_it(impatient):
    with connected(impatient) as client:
        client.sendall(GET)
        time.sleep(1)
        assert answer(client).endswith(b"}")


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"Content-Length: 0\r\nContent-Length: 60\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: +0\r\n\r\n",
        b"Content-Length : 0\r\n\r\n",
    ],
)
def test_what_two_servers_would_cut_in_two_ways_is_not_cut_at_all(served, head):
    """A proxy in front may see one request where this server would see two, the second one with another's name."""
    with connected(served) as client:
        client.sendall(b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\n" + head + GET.replace(b"/health", b"/version"))
        client.shutdown(socket.SHUT_WR)
        said = read_all(client)
    assert said.startswith(b"HTTP/1.1 400")
    assert b"version" not in said


@pytest.mark.parametrize("endless", [b"X: " + b"y" * 1000 + b"\r\n", b"y" * 1000])
@pytest.mark.parametrize("before", [b"", GET])
def test_headers_that_never_end_are_not_kept(served, before, endless):
    with connected(served) as client:
        client.sendall(before + b"GET /health HTTP/1.1\r\nHost: localhost\r\nY: ")
        assert not keeps_saying(client, endless, times=10_000)


@pytest.mark.parametrize(
    "head",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://evil.example/health HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX : y\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\r\n\tb\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_a_broken_head_is_refused_or_answered_and_breaks_nothing(served, head):
    with connected(served) as client:
        client.sendall(head)
        client.shutdown(socket.SHUT_WR)
        said = read_all(client)
    assert said[:12] not in (b"HTTP/1.1 500", b"HTTP/1.1 502"), said
    with served.http() as http:
        assert http.get("/health").status_code == 200
