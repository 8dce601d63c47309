"""Answers with a shape: `response_format` through the real client, vLLM's fields, and what is refused."""

from __future__ import annotations

import json
import re

import openai
import pytest

from tests.server.test_chat import ask

SCHEMA = {
    "type": "object",
    "properties": {"desk": {"enum": ["billing", "sales"]}, "urgent": {"type": "boolean"}},
    "required": ["desk", "urgent"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "routing", "strict": True, "schema": SCHEMA}}


@pytest.mark.parametrize("model", ["tickets", "labels"])
def test_a_json_schema_is_kept_to(client, model):
    answer = ask(client, model=model, response_format=FORMAT, max_tokens=100).choices[0]
    assert answer.finish_reason == "stop"
    assert json.loads(answer.message.content)["desk"] in {"billing", "sales"}


def test_a_stream_keeps_to_it_too(client):
    chunks = ask(client, response_format=FORMAT, max_tokens=100, stream=True, temperature=1.0)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert isinstance(json.loads(text)["urgent"], bool)


def test_a_json_object_is_an_object_as_far_as_it_goes(client):
    answer = ask(client, response_format={"type": "json_object"}, max_tokens=30).choices[0]
    assert answer.message.content.startswith("{")


@pytest.mark.parametrize(
    ("fields", "pattern"),
    [
        ({"guided_regex": "[ab]{3}-[0-9]{2}"}, "[ab]{3}-[0-9]{2}"),
        ({"guided_choice": ["yes (really)", "no"]}, r"yes \(really\)|no"),
        ({"guided_grammar": 'start: "a" /[0-9]{2}/'}, "a[0-9]{2}"),
        ({"guided_json": {"type": "boolean"}}, "true|false"),
    ],
)
def test_the_fields_of_vllm(client, fields, pattern):
    answer = ask(client, extra_body=fields, max_tokens=60)
    assert re.fullmatch(pattern, answer.choices[0].message.content)
    answer = client.completions.create(model="tickets", prompt="x", extra_body=fields, max_tokens=60)
    assert re.fullmatch(pattern, answer.choices[0].text)


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "http://a/b"}}}},
        {"extra_body": {"guided_regex": "(unclosed"}},
        {"extra_body": {"guided_regex": "a", "guided_choice": ["b"]}},
        {"response_format": FORMAT, "extra_body": {"guided_regex": "a"}},
        {"response_format": {"type": "xml"}},
        {"extra_body": {"guided_choice": []}},
        {"extra_body": {"guided_regex": "a" * 100_001}},
    ],
    ids=str,
)
def test_a_shape_that_cannot_be_used_is_refused(client, fields):
    with pytest.raises(openai.BadRequestError):
        ask(client, **fields)
