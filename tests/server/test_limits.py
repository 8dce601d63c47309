"""A key's limits over HTTP: OpenAI's headers and 429, and nothing without the database."""

import openai
import pytest
from sqlalchemy import text

from chiliad.store import Limits, Role
from chiliad.store.backend import Writers
from tests.server.conftest import running

NOW = 1_800_000_010.0  # ten seconds into a minute
ASK = {"model": "endless", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}


@pytest.fixture
def now():
    return [NOW]


@pytest.fixture
def server(service, now):
    with running(service, clock=lambda: now[0]) as server:
        yield server


def client(server, limits):
    secret = server.accounts.keys.create("a", role=Role.APP, limits=limits).secret
    return server.openai(api_key=secret)


def headers_of(client, **fields):
    return client.chat.completions.with_raw_response.create(**{**ASK, **fields}).headers


def refused(client, **fields):
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(**{**ASK, **fields})
    return caught.value


@pytest.mark.parametrize("stream", [False, True])
def test_requests_are_counted_down_and_then_refused_until_the_minute_is_over(server, now, stream):
    with client(server, Limits(requests_per_minute=2)) as asking:
        headers = headers_of(asking, stream=stream)
        assert headers["x-ratelimit-limit-requests"] == "2"
        assert headers["x-ratelimit-remaining-requests"] == "1"
        assert headers["x-ratelimit-reset-requests"] == "50s"
        assert "x-ratelimit-limit-tokens" not in headers
        headers_of(asking, stream=stream)
        error = refused(asking, stream=stream)
        assert error.code == "rate_limit_exceeded"
        assert error.response.headers["retry-after"] == "50"
        assert error.response.headers["x-ratelimit-remaining-requests"] == "0"
        now[0] += 50
        assert headers_of(asking)["x-ratelimit-remaining-requests"] == "1"


def test_tokens_are_reserved_and_what_was_not_used_is_given_back(server, service):
    with client(server, Limits(tokens_per_minute=1000)) as asking:
        raw = asking.chat.completions.with_raw_response.create(**{**ASK, "model": "labels", "max_tokens": 900})
        answer = raw.parse()
        assert answer.usage.completion_tokens < 900
        reserved = 1000 - int(raw.headers["x-ratelimit-remaining-tokens"])
        assert reserved > 2 * answer.usage.total_tokens
        assert server.accounts.recorder.flush()
        left = int(headers_of(asking, max_tokens=1)["x-ratelimit-remaining-tokens"])
    assert 1000 - 2 * answer.usage.total_tokens < left < 1000 - answer.usage.total_tokens


def test_a_request_that_never_fits_says_that_waiting_does_not_help(server):
    with client(server, Limits(tokens_per_minute=20)) as asking:
        error = refused(asking, max_tokens=21)
        assert error.response.headers["x-should-retry"] == "false"
        assert "max_tokens" in error.body["fix"]


def test_spend_ends_for_the_month(server):
    with client(server, Limits(spend_per_month=0.0)) as asking:
        error = refused(asking)
    assert error.code == "insufficient_quota"
    assert error.response.headers["x-should-retry"] == "false"
    assert int(error.response.headers["retry-after"]) > 60


def test_a_key_without_limits_has_none(server):
    with client(server, Limits()) as asking:
        assert not [name for name in headers_of(asking) if name.startswith("x-ratelimit")]


def test_what_the_engine_refuses_gives_its_reservation_back(server):
    with client(server, Limits(tokens_per_minute=10_000, requests_per_minute=5)) as asking:
        with pytest.raises(openai.BadRequestError):
            asking.completions.create(model="endless", prompt=[1] * 600, max_tokens=4)
        assert server.accounts.recorder.flush()
        assert int(headers_of(asking)["x-ratelimit-remaining-tokens"]) > 9_900


def test_without_the_database_a_limited_key_gets_nothing(server, service):
    started = service.started
    with client(server, Limits(requests_per_minute=5)) as asking:
        with server.accounts.keys._database.write(Writers.SPENDING) as connection:
            connection.execute(text("DROP TABLE meters"))
        with pytest.raises(openai.InternalServerError) as caught:
            asking.chat.completions.create(**ASK)
    assert caught.value.status_code == 503
    assert service.started == started
