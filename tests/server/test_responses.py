"""`/v1/responses` through the openai client: text, streams, functions, and what only a server that stores could do."""

import json

import openai
import pytest

from tests.server.test_chat import ASK
from tests.server.test_tools import WEATHER

FLAT = {"type": "function", **WEATHER["function"], "strict": True}


def respond(client, **fields):
    return client.responses.create(
        **{"model": "endless", "input": "where is my card", "max_output_tokens": 8, **fields}
    )


def test_an_answer_is_that_of_chat_completions(client):
    chat = client.chat.completions.create(model="endless", messages=ASK, max_tokens=8)
    response = respond(client)
    assert response.output_text == chat.choices[0].message.content
    assert (response.object, response.model, response.store) == ("response", "endless@1", False)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.usage.input_tokens == chat.usage.prompt_tokens
    assert (response.usage.output_tokens, response.usage.total_tokens) == (8, chat.usage.prompt_tokens + 8)


def test_instructions_and_items_are_the_turns_of_a_chat(client):
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}
    items = [{"role": "user", "content": "hi"}, {"type": "reasoning", "id": "r", "summary": []}, said, *ASK]
    response = respond(client, input=items, instructions="Be brief.")
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        *ASK,
    ]
    chat = client.chat.completions.create(model="endless", messages=turns, max_tokens=8)
    assert response.output_text == chat.choices[0].message.content
    assert response.usage.input_tokens == chat.usage.prompt_tokens


def test_a_stream_says_what_the_whole_says(client):
    whole = respond(client)
    events = list(respond(client, stream=True))
    names = [event.type for event in events]
    assert names[:4] == [
        *("response.created", "response.in_progress"),
        *("response.output_item.added", "response.content_part.added"),
    ]
    assert names[-4:] == [
        *("response.output_text.done", "response.content_part.done"),
        *("response.output_item.done", "response.incomplete"),
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert events[-1].response.output_text == whole.output_text
    assert events[-1].response.usage.output_tokens == 8


def test_the_events_of_a_stream_have_names(http):
    text = http.post("/v1/responses", json={"model": "labels", "input": "x", "stream": True}).text
    *events, done, _ = text.split("\n\n")
    assert done == "data: [DONE]"
    for event in events:
        name, data = event.split("\n")
        assert name == f"event: {json.loads(data.removeprefix('data: '))['type']}"
    assert events[-1].startswith("event: response.completed")


@pytest.mark.parametrize("stream", [False, True])
def test_a_function_is_called_and_its_result_told_back(client, stream):
    fields = {"tools": [FLAT], "tool_choice": "required", "max_output_tokens": 120}
    if stream:
        events = list(respond(client, **fields, stream=True))
        names = [event.type for event in events]
        assert "response.output_text.delta" not in names
        assert names[-3:-1] == ["response.function_call_arguments.done", "response.output_item.done"]
        response = events[-1].response
    else:
        response = respond(client, **fields)
    [call] = response.output
    assert (call.type, call.name, response.status) == ("function_call", "weather", "completed")
    assert json.loads(call.arguments)["city"] in {"Bandung", "Oslo"}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    asked = [{"role": "user", "content": "weather?"}, call.model_dump(), result]
    assert respond(client, input=asked, tools=[FLAT], tool_choice="none").output_text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("body", ["no JSON", '{"name": "weather", "arguments": {}}'])
def test_where_no_call_is_wanted_what_looks_like_one_is_a_text(client, stream, body):
    text = f"<tool_call>{body}</tool_call>"
    asked = {"model": "tickets", "tools": [FLAT], "tool_choice": "none", "max_output_tokens": 200}
    response = respond(client, **asked, stream=stream, extra_body={"guided_choice": [text]})
    if stream:
        events = list(response)
        assert "".join(one.delta for one in events if one.type == "response.output_text.delta") == text
        response = events[-1].response
    assert (response.status, [item.type for item in response.output]) == ("completed", ["message"])
    assert response.output_text == text


def test_an_answer_keeps_to_a_schema(client):
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
    form = {"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True}}
    response = respond(client, text=form, max_output_tokens=60)
    assert json.loads(response.output_text)["n"] in (1, 2)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input.0.content.0"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0.type"),
    ],
)
def test_what_is_not_here_is_refused_by_name(client, fields, param):
    with pytest.raises(openai.BadRequestError) as error:
        respond(client, **fields)
    assert (error.value.code, error.value.param) == ("unsupported_feature", param)


def test_a_format_without_its_schema_is_refused_in_this_routes_words(client):
    with pytest.raises(openai.BadRequestError) as error:
        respond(client, text={"format": {"type": "json_schema", "name": "x"}})
    assert (error.value.code, error.value.param) == ("invalid_value", "text.format.schema")


def test_a_stream_that_fails_tells_the_client(client):
    with pytest.raises(openai.APIError, match="truncated"):
        list(respond(client, model="broken", stream=True))
