"""Many clients at once, clients that leave, more than fits, and the end of the server."""

import asyncio
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest

from chiliad.config import EngineSettings, ServerSettings
from tests.server.conftest import TIMEOUT_S, running
from tests.server.served import EngineService

STREAMS = 256
ASK = [{"role": "user", "content": "hello"}]
LONG = {"model": "endless", "messages": ASK, "max_tokens": 900}
PATH = "/v1/chat/completions"


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def ended(service):
    return sum(service.ended.values())


def post(port, body, headers=""):
    """The start of a request on a socket of its own, sent but not read."""
    content = json.dumps(body).encode()
    connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
    return connection


@pytest.fixture
def own(base):
    """A service that no other test talks to, with room for long answers."""
    service = EngineService(base, EngineSettings(batch_max=4, context_max=1024, queue_max=8))
    yield service
    service.close()


def test_256_streams_at_once_lose_no_token_and_double_none(served):
    async def stream(client, number):
        tokens, usage, reasons = 0, None, []
        chunks = await client.chat.completions.create(
            model="endless",
            messages=[{"role": "user", "content": f"request {number}"}],
            max_tokens=4 + number % 5,
            stream=True,
            logprobs=True,
            stream_options={"include_usage": True},
        )
        async for chunk in chunks:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                tokens += len(choice.logprobs.content) if choice.logprobs else 0
                reasons += [choice.finish_reason] if choice.finish_reason else []
        return tokens, usage.completion_tokens, reasons

    async def run():
        limits = httpx.Limits(max_connections=STREAMS)
        transport = openai.DefaultAsyncHttpxClient(limits=limits, timeout=TIMEOUT_S)
        options = {"api_key": "none", "max_retries": 0, "timeout": TIMEOUT_S, "http_client": transport}
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", **options) as client:
            return await asyncio.gather(*(stream(client, number) for number in range(STREAMS)))

    for number, (tokens, counted, reasons) in enumerate(asyncio.run(run())):
        assert tokens == counted == 4 + number % 5
        assert reasons == ["length"]


def test_health_answers_while_the_engine_is_busy(own):
    with running(own) as server, server.http() as http:
        connections = [post(server.port, LONG) for _ in range(4)]
        wait_until(lambda: own.started == 4)
        assert http.get("/health").status_code == 200
        assert not own.ended, "the answers were still under way"
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_ends_its_answer(own, stream):
    with running(own) as server:
        connection = post(server.port, {**LONG, "n": 3, "stream": stream})
        wait_until(lambda: own.started == 3)
        if stream:
            assert connection.recv(100)
        connection.close()
        wait_until(lambda: ended(own) == 3)

    assert own.ended == {"Aborted": 3}


def test_more_than_fits_is_told_when_to_try_again_and_the_rest_is_served(own):
    with running(own) as server, server.http() as http, ThreadPoolExecutor(40) as pool:
        replies = list(pool.map(lambda _: http.post(PATH, json={**LONG, "max_tokens": 50}), range(40)))

    refused = [reply for reply in replies if reply.status_code == 429]
    served = [reply for reply in replies if reply.status_code == 200]
    assert refused
    assert served
    assert len(refused) + len(served) == 40
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in refused)
    assert refused[0].json()["error"]["type"] == "rate_limit_error"
    assert all(reply.json()["usage"]["completion_tokens"] == 50 for reply in served)


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_that_fits_only_in_part_leaves_nothing_behind(own, stream):
    with running(own) as server, server.openai() as client:
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(**{**LONG, "n": 100}, stream=stream)
        wait_until(lambda: ended(own) == own.started - 1)  # the last one was refused

    assert set(own.ended) == {"Aborted"}


def test_an_answer_that_fails_is_a_typed_error(client):
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="broken", messages=ASK)
    assert caught.value.code == "broken_adapter"


def test_a_stream_that_fails_says_so_before_it_ends(http):
    text = http.post(PATH, json={"model": "broken", "messages": ASK, "stream": True}).text
    *_, error, done, _ = text.split("\n\n")

    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "broken_adapter"
    assert done == "data: [DONE]"


def test_shutdown_lets_a_short_answer_finish(own):
    body = {**LONG, "max_tokens": 60, "stream": True}
    with running(own) as server, server.http() as http, http.stream("POST", PATH, json=body) as reply:
        lines = reply.iter_lines()
        next(lines)
        server.server.should_exit = True
        *_, last, _, done, _ = lines

    assert json.loads(last.removeprefix("data: "))["choices"][0]["finish_reason"] == "length"
    assert done == "data: [DONE]"


def test_shutdown_ends_a_long_answer_with_an_error(own):
    settings = ServerSettings(finish_seconds_max=0)  # however fast the engine is
    body = {**LONG, "n": 6, "stream": True}
    with running(own, settings) as server, server.http() as http, http.stream("POST", PATH, json=body) as reply:
        lines = reply.iter_lines()
        next(lines)
        server.server.should_exit = True
        *_, last, _, done, _ = lines

    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "shutting_down"
    assert done == "data: [DONE]"
    wait_until(lambda: ended(own) == 6)
    assert own.ended["Aborted"] == 6


def test_a_request_that_comes_during_shutdown_is_refused(own):
    content = json.dumps(LONG).encode()
    with running(own) as server, socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_S) as late:
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        late.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content[:5])
        time.sleep(0.3)  # until the server reads this request's body
        server.server.should_exit = True
        time.sleep(0.5)  # until it has begun to shut down
        late.sendall(content[5:])
        reply = b"".join(iter(lambda: late.recv(65536), b""))

    assert reply.startswith(b"HTTP/1.1 503")
    assert b"shutting_down" in reply
    assert b"retry-after" in reply.lower()


def test_an_engine_that_closes_ends_every_answer(own):
    with running(own) as server, server.openai() as client:
        closing = threading.Thread(target=lambda: (wait_until(lambda: own.started == 6), own.engine.close()))
        closing.start()
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(**{**LONG, "n": 6})
        closing.join()
    assert caught.value.status_code in (429, 503)
