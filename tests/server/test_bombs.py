"""Small requests that would take much: of the one processor, of memory, or of everybody's patience."""

import json
import time
from threading import Thread

import pytest
from pydantic import ValidationError

from chiliad.server.wire.chat import ChatBody
from chiliad.server.wire.completions import CompletionBody
from chiliad.server.wire.embeddings import EmbeddingBody
from chiliad.server.wire.responses import ResponsesBody
from chiliad.server.wire.tokens import DetokenizeBody
from tests.engine.test_grammar import ENDLESS
from tests.server.test_chat import ask

MANY = 200_000
HELLO = [{"role": "user", "content": "hello"}]
LONG = "1" * 9_000_000
"""takes a tokenizer ten seconds"""


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (CompletionBody, {"prompt": [[1]] * MANY}),
        (CompletionBody, {"prompt": [1] * MANY + ["x"]}),
        (CompletionBody, {"prompt": [{}] * MANY}),
        (EmbeddingBody, {"input": [[1]] * MANY}),
        (DetokenizeBody, {"tokens": [-1] * MANY}),
        (ChatBody, {"messages": [{}] * MANY}),
        (ChatBody, {"messages": [{"role": "user", "content": [{}] * 256}] * 1024}),
        (ChatBody, {"messages": HELLO, "metadata": {str(n): n for n in range(MANY)}}),
        (ChatBody, {"messages": HELLO, "stop": [1] * MANY}),
        (ChatBody, {"messages": HELLO, "tools": [{}] * MANY}),
        (ResponsesBody, {"input": [{"content": [{}] * 256}] * 1024}),
    ],
    ids=lambda one: one.__name__ if isinstance(one, type) else next(reversed(one)),
)
def test_a_list_of_mistakes_is_not_listed_mistake_by_mistake(kind, fields):
    with pytest.raises(ValidationError) as told:
        kind.model_validate({"model": "endless", **fields})
    assert told.value.error_count() < 5000


@pytest.mark.parametrize(
    ("path", "fields", "code"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": LONG}]}, "context_length_exceeded"),
        ("/v1/completions", {"prompt": LONG}, "context_length_exceeded"),
        ("/v1/completions", {"prompt": ["x", LONG]}, "context_length_exceeded"),
        ("/v1/responses", {"input": LONG}, "context_length_exceeded"),
        ("/tokenize", {"prompt": LONG}, "invalid_value"),
    ],
)
def test_a_prompt_that_cannot_fit_is_refused_before_it_is_cut_into_tokens(http, path, fields, code):
    content = json.dumps({"model": "endless", **fields})
    began = time.process_time()
    reply = http.post(path, content=content, headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, code)
    assert time.process_time() - began < 3


def test_others_are_answered_while_a_grammar_is_tried(http, client):
    body = {"model": "endless", "messages": HELLO, "max_tokens": 4, "guided_json": ENDLESS.source}
    replies = []
    asks = Thread(target=lambda: replies.append(http.post("/v1/chat/completions", json=body)))
    asks.start()
    assert ask(client, model="endless", max_tokens=4).usage.completion_tokens == 4
    assert ask(client, max_tokens=4, extra_body={"guided_regex": "[ab]{9}"}).choices[0].message.content
    assert not replies, "the grammar was still being tried"
    asks.join()
    assert (replies[0].status_code, replies[0].json()["error"]["code"]) == (400, "bad_request")


def test_a_schema_of_any_depth_is_an_answer_or_a_named_error(http):
    """Python reads JSON of nearly a thousand levels, and writes somewhat fewer, depending on who asks it to."""
    for depth in (*range(400, 1000, 40), *range(940, 1000, 3)):
        schema = '{"a":' * depth + "1" + "}" * depth
        tool = f'{{"type": "function", "function": {{"name": "f", "parameters": {schema}}}}}'
        for field, value in (("guided_json", schema), ("tools", f"[{tool}]"), ("metadata", schema), ("x", schema)):
            content = (
                json.dumps({"model": "endless", "messages": HELLO, "max_tokens": 1})[:-1] + f', "{field}": {value}}}'
            )
            reply = http.post("/v1/chat/completions", content=content, headers={"Content-Type": "application/json"})
            assert reply.status_code in (200, 400), (depth, field, reply.text)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 10**18},
        {"n": 10**9},
        {"n": 10**30},
        {"logprobs": True, "top_logprobs": 10**6},
        {"temperature": 1e308},
        {"top_k": 10**18},
        {"seed": 10**30},
        {"stop": ["x" * 2000]},
        {"stop": [""]},
        {"logit_bias": {"1": 10**9}},
        {"priority": 10**9},
        {"guided_choice": ["x" * 1000] * 1001},
    ],
    ids=str,
)
def test_a_value_beyond_all_bounds_is_named(http, fields):
    body = {"model": "endless", "messages": HELLO, "max_tokens": 1, **fields}
    reply = http.post("/v1/chat/completions", json=body)
    if "top_k" in fields:
        assert reply.status_code == 200
    else:
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, [*fields][-1])


@pytest.mark.parametrize("token", [-1, 10**6, 2**31, 2**63, 2**64, 10**30, 1.5, True, "1", None])
@pytest.mark.parametrize(("path", "field"), [("/v1/completions", "prompt"), ("/detokenize", "tokens")])
def test_a_token_that_is_none_is_refused(http, path, field, token):
    reply = http.post(path, json={"model": "endless", field: [1, token], "max_tokens": 1})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"].partition(".")[0] == field
