"""`/v1/embeddings` as the openai client uses it, by the real embedder."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openai
import pytest

from chiliad.embeddings import MiniLM
from chiliad.store import GroupBy, Limits, Role
from chiliad.workspace import Workspace
from tests.server.platform import serving, with_hosted_names


@pytest.fixture
def client(settings):
    with serving(with_hosted_names(settings)) as served, served.openai() as client:
        yield client


def vectors(client, texts, **options):
    answer = client.embeddings.create(**{"model": "text-embedding-3-small", "input": texts, **options})
    return np.array([one.embedding for one in answer.data])


def test_texts_become_vectors_of_length_one_in_either_format(client):
    texts = ["where is my parcel", "my package has not come", "a recipe for soup"]
    plain = vectors(client, texts, encoding_format="float")
    np.testing.assert_array_equal(plain, vectors(client, texts))  # the client asks for base64
    np.testing.assert_allclose(np.linalg.norm(plain, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(plain[0], vectors(client, texts[0])[0], atol=1e-5)
    assert plain[0] @ plain[1] > plain[0] @ plain[2] + 0.3
    answer = client.embeddings.create(model="all-minilm-l6-v2", input="hello world")
    assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == ("all-minilm-l6-v2", 4, 4)
    assert vectors(client, "x", dimensions=384).shape == (1, 384)

    for options, code, param in (
        ({"input": [1, 2, 3]}, "unsupported_feature", "input"),
        ({"input": [[1, 2], [3]]}, "unsupported_feature", "input"),
        ({"input": "word " * 300}, "context_length_exceeded", "input"),
        ({"input": ""}, "invalid_value", "input"),
        ({"dimensions": 256}, "unsupported_feature", "dimensions"),
    ):
        with pytest.raises(openai.BadRequestError) as error:
            client.embeddings.create(**{"model": "text-embedding-3-small", "input": "x", **options})
        assert (error.value.code, error.value.param) == (code, param)
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="tiny", input="x")


def test_they_count_against_a_keys_limits_and_stand_in_the_ledger(settings, monkeypatch):
    with serving(settings) as served:
        monkeypatch.setattr(served.accounts.budgets, "_clock", lambda: 1_800_000_010.0)  # within one minute
        secret = served.accounts.keys.create("a", role=Role.APP, limits=Limits(2, 1000)).secret
        with served.openai(api_key=secret) as client:
            create = client.embeddings.with_raw_response.create
            first = create(model="all-minilm-l6-v2", input=["hello world", "hello"])
            assert (first.parse().usage.prompt_tokens, first.headers["x-ratelimit-remaining-requests"]) == (7, "1")
            assert (first.headers["x-ratelimit-remaining-tokens"], float(first.headers["x-chiliad-cost"]) > 0) == (
                "993",
                True,
            )
            with pytest.raises(openai.RateLimitError, match="tokens left in this minute") as large:
                create(model="all-minilm-l6-v2", input=["word " * 250] * 4)
            assert large.value.response.headers["x-should-retry"] == "false"
            create(model="all-minilm-l6-v2", input="hello")
            with pytest.raises(openai.RateLimitError, match="requests a minute"):
                create(model="all-minilm-l6-v2", input="hello")
        assert served.accounts.recorder.flush()
        (line,) = served.accounts.ledger.sums(GroupBy.MODEL)
        assert (line.of, line.requests, line.answers, line.prompt_tokens) == ("all-minilm-l6-v2", 2, 2, 10)
        assert line.cost > 0


def test_many_at_once_leave_worker_threads_to_others_and_long_ones_take_turns(settings, monkeypatch):
    embed, lock, running, sizes = MiniLM.embed, threading.Lock(), [0], []

    def slow(embedder, texts):
        with lock:
            running[0] += 1
            sizes.append((running[0], len(texts)))
        time.sleep(0.02)
        try:
            return embed(embedder, texts)
        finally:
            with lock:
                running[0] -= 1

    monkeypatch.setattr(MiniLM, "embed", slow)
    texts = [f"parcel {n}" for n in range(70)]
    with serving(with_hosted_names(settings)) as served, served.openai() as client, ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda _: vectors(client, texts), range(12)))
    assert {one.shape for one in found} == {(70, 384)}
    assert len(sizes) == 24
    assert max(at_once for at_once, _ in sizes) == 2
    assert max(size for _, size in sizes) == 64
    np.testing.assert_allclose(found[0][69], embed_alone(settings, texts[69]), atol=1e-5)


def embed_alone(settings, text):
    with Workspace.open(settings) as workspace:
        return workspace.embedder.embed([text])[0]
