"""Calling functions, through the real client: chosen or required, whole or streamed, with what they returned told back."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from chiliad.server.tool_calls import Toolbox, read_call, toolbox
from chiliad.server.wire.chat import Message
from chiliad.server.wire.tools import Tool
from tests.server.test_chat import ask

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Bandung", "Oslo"]}, "days": {"enum": [1, 2, 3]}},
            "required": ["city", "days"],
        },
    },
}
CLOCK: dict[str, Any] = {"type": "function", "function": {"name": "clock"}}


def _arguments(call: Any) -> Any:
    return json.loads(call.function.arguments)


def test_a_required_call_fits_its_schema(client):
    choice = ask(client, tools=[WEATHER], tool_choice="required", max_tokens=120).choices[0]
    (call,) = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert call.function.name == "weather"
    assert _arguments(call)["city"] in {"Bandung", "Oslo"}
    assert _arguments(call)["days"] in {1, 2, 3}


def test_a_named_function_is_the_one_that_is_called(client):
    choice = {"type": "function", "function": {"name": "clock"}}
    (call,) = ask(client, tools=[WEATHER, CLOCK], tool_choice=choice, max_tokens=80).choices[0].message.tool_calls
    assert (call.function.name, _arguments(call)) == ("clock", {})


def test_a_streamed_call_comes_as_a_call(client):
    chunks = list(ask(client, tools=[WEATHER], tool_choice="required", max_tokens=120, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == ""
    (call,) = [call for delta in deltas for call in delta.tool_calls or ()]
    assert call.index == 0
    assert call.id.startswith("call_")
    assert _arguments(call)["city"] in {"Bandung", "Oslo"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_is_cut_short_is_a_text(client, stream):
    answer = ask(client, tools=[WEATHER], tool_choice="required", max_tokens=20, stream=stream)
    if stream:
        chunks = list(answer)
        text, finish = "".join(c.choices[0].delta.content or "" for c in chunks), chunks[-1].choices[0].finish_reason
    else:
        text, finish = answer.choices[0].message.content, answer.choices[0].finish_reason
    assert text.startswith("<tool_call>")
    assert finish == "length"


@pytest.mark.parametrize("seed", range(6))
def test_an_answer_that_may_call_is_a_text_or_a_whole_call(client, seed):
    choice = ask(client, tools=[WEATHER], temperature=1.5, seed=seed, max_tokens=120).choices[0]
    if choice.message.tool_calls:
        assert _arguments(choice.message.tool_calls[0])["city"] in {"Bandung", "Oslo"}
    else:
        assert not choice.message.content.startswith("<")


def test_none_means_none(client):
    with_tools = ask(client, tools=[WEATHER], tool_choice="none").choices[0].message
    assert with_tools.content == ask(client).choices[0].message.content


def test_what_a_function_returned_is_part_of_the_conversation(client):
    called = {"id": "1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    talk = [
        {"role": "user", "content": "How late is it?"},
        {"role": "assistant", "content": None, "tool_calls": [called, called]},
        {"role": "tool", "tool_call_id": "1", "content": "ten"},
        {"role": "tool", "tool_call_id": "1", "content": "ten, still"},
    ]
    assert ask(client, messages=talk, tools=[CLOCK], max_tokens=5).choices[0].finish_reason in {"stop", "length"}


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": "required"},
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "other"}}},
        {"tools": [{"type": "function", "function": {"name": "no spaces"}}]},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "nonsense"}}}]},
        {"tools": [CLOCK], "extra_body": {"guided_regex": "a"}},
    ],
    ids=str,
)
def test_what_cannot_be_called_is_refused(client, fields):
    with pytest.raises(openai.BadRequestError):
        ask(client, **fields)


def test_several_results_are_told_in_one_turn():
    from chiliad.server.wire.chat import ChatBody

    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Well?"},
        {"role": "tool", "content": "a"},
        {"role": "tool", "content": "b"},
    ]
    system, _, results = ChatBody.model_validate({"model": "m", "messages": messages, "tools": [CLOCK]}).turns()
    assert system["content"].startswith("Be brief.")
    assert '"clock"' in system["content"]
    assert results["role"] == "user"
    assert results["content"].count("<tool_response>") == 2


def test_what_was_said_before_a_call_stays_in_the_conversation():
    call = {"function": {"name": "clock", "arguments": ""}}  # what some clients send where there are none
    written = '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>'
    parts = [{"type": "text", "text": "Let me "}, {"type": "text", "text": "look."}]
    for content, text in (
        ("Let me look.", f"Let me look.\n{written}"),
        (parts, f"Let me look.\n{written}"),
        ("", written),
    ):
        message = Message.model_validate({"role": "assistant", "content": content, "tool_calls": [call]})
        assert message.text("messages.0") == text


def test_what_is_not_a_call_is_read_as_none():
    assert read_call("hello") is None
    assert read_call('<tool_call>\n{"name": "f"') is None
    assert read_call('<tool_call>\n{"name": "f", "arguments": {"tag": "</tool_call>') is None
    assert toolbox([], "auto") is None
    assert toolbox([Tool.model_validate(CLOCK)], None) == Toolbox((Tool.model_validate(CLOCK).function,), must=False)
