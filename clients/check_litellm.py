"""LiteLLM's SDK: `openai/MODEL` with an api_base, whole, streamed and asynchronous, text completions, embeddings, errors."""

import asyncio
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it fetches its price list from the network

import litellm

BASE = "openai/smollm2-135m-q4_1"
HERE = {"api_base": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"]}
ASKED = {"model": BASE, "messages": [{"role": "user", "content": "What is the capital of France?"}], "max_tokens": 12}


def main() -> None:
    whole = litellm.completion(**ASKED, **HERE)
    text = whole.choices[0].message.content
    assert text
    assert whole.usage.completion_tokens <= 12
    chunks = litellm.completion(**ASKED, **HERE, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text
    assert asyncio.run(litellm.acompletion(**ASKED, **HERE)).choices[0].message.content == text
    completed = litellm.text_completion(model=f"text-completion-{BASE}", prompt="One, two,", max_tokens=6, **HERE)
    assert completed.choices[0].text
    vectors = litellm.embedding(model="openai/text-embedding-3-small", input=["a dog", "a cat"], **HERE)
    assert [len(one["embedding"]) for one in vectors.data] == [384, 384]
    check_errors()


def check_errors() -> None:
    """LiteLLM knows what went wrong by the status and the code."""
    for changed, expected in (
        ({"model": "openai/nobody"}, litellm.NotFoundError),
        ({"api_key": "wrong"}, litellm.AuthenticationError),
        ({"messages": [{"role": "user", "content": "word " * 20_000}]}, litellm.ContextWindowExceededError),
    ):
        try:
            litellm.completion(**{**ASKED, **HERE, **changed})
        except expected:
            continue
        raise AssertionError(f"{expected.__name__} was expected")


if __name__ == "__main__":
    main()
