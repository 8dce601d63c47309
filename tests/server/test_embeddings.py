"""`/v1/embeddings` as the openai client uses it, by the real embedder."""

import numpy as np
import openai
import pytest

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
