from __future__ import annotations

import enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiliad.base import ChatTemplate, compact_template
from chiliad.errors import BadRequest

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = """{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
"""
MISTRAL = """{{ bos_token }}{% for message in messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('roles must alternate user/assistant') }}
    {% endif %}
    {% if message['role'] == 'user' %}
[INST] {{ message['content'] }} [/INST]
    {% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}{% endif %}
{% endfor %}"""
TOOLS = """{% if tools %}tools:
{% for tool in tools %}{{ tool | tojson }} {{ tool | tojson(indent=2) }}{% endfor %}{% endif %}
{% set state = namespace(seen=0, last='') %}
{% for m in messages %}
    {% if m.role == 'skip' %}{% continue %}{% endif %}
    {% if m.role == 'stop' %}{% break %}{% endif %}
    {% set state.seen = state.seen + 1 %}{% set state.last = m.content %}
    {% generation %}{{ m.content }}{% endgeneration %}
    {% if m.reasoning_content is defined %}<think>{{ m.reasoning_content }}</think>{% endif %}
    {% if m.tool_calls is defined %}{{ m.tool_calls | tojson(sort_keys=true, separators=(',', ':')) }}{% endif %}
{% endfor %}
{{ state.seen }} {{ state.last }} {{ strftime_now('%Y') | length }} {{ dict(a=1).items() | list }} {{ documents is none }}
{{ messages is mapping }} {{ messages[0] is mapping }} {{ unknown is defined }} {{ pad_token is defined }}
"""
CHATS: tuple[list[dict[str, Any]], ...] = (
    [{"role": "user", "content": "  Hello <b>& 'goodbye'</b>  "}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Apa kabar? 日本 🙂"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b\n"}, {"role": "user", "content": "c"}],
    [
        {"role": "user", "content": "x"},
        {"role": "skip", "content": "no"},
        {
            "role": "assistant",
            "content": "{{ not_a_template }}",
            "thinking": "hm",
            "tool_calls": [{"b": "é", "a": None}],
        },
        {"role": "stop", "content": "no"},
        {"role": "user", "content": "never"},
    ],
)
A_TOOL = {
    "type": "function",
    "function": {"name": "find", "description": "<i>é & co</i>", "parameters": {"x": [1, 2.5, True]}},
}


@pytest.fixture(scope="module")
def theirs() -> Any:
    """A tokenizer of `transformers`, of which only `apply_chat_template` matters here."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()), bos_token="<s>", eos_token="</s>")


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, bos_token="<s>", eos_token="</s>")


@pytest.mark.parametrize("tools", [None, [A_TOOL]])
@pytest.mark.parametrize("prompted", [True, False])
@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("source", [SMOLLM2, LLAMA3, TOOLS])
def test_the_text_is_that_of_transformers(
    theirs: Any, source: str, chat: list[dict[str, Any]], prompted: bool, tools: list[dict[str, Any]] | None
) -> None:
    expected = theirs.apply_chat_template(
        chat, chat_template=source, tools=tools, add_generation_prompt=prompted, tokenize=False
    )
    assert template(source).render(chat, add_generation_prompt=prompted, tools=tools) == expected


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text()), min_size=1))
def test_any_chat_gives_the_text_of_transformers(theirs: Any, turns: list[tuple[str, str]]) -> None:
    chat = [{"role": role, "content": content} for role, content in turns]
    expected = theirs.apply_chat_template(chat, chat_template=LLAMA3, tokenize=False, add_generation_prompt=True)
    assert template(LLAMA3).render(chat) == expected


def test_a_conversation_the_template_refuses_is_a_bad_request(theirs: Any) -> None:
    good = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    expected = theirs.apply_chat_template(good, chat_template=MISTRAL, tokenize=False)
    assert template(MISTRAL).render(good, add_generation_prompt=False) == expected
    with pytest.raises(BadRequest, match="roles must alternate") as refused:
        template(MISTRAL).render(good[::-1])
    assert "role" in refused.value.fix


@pytest.mark.parametrize(
    "messages",
    [[{"role": "user"}], [{"role": "user", "content": None}], [{"role": "user", "content": 3}], ["not a message"]],
)
def test_messages_the_template_cannot_use_are_a_bad_request(messages: Any) -> None:
    with pytest.raises(BadRequest):
        template(SMOLLM2).render(messages)


def test_a_syntax_error_names_its_line() -> None:
    with pytest.raises(BadRequest, match="line 2"):
        template("ok\n{% for %}").render([])


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append({}) }}",
        "{{ messages[0].update(role='x') }}",
        "{{ dict.__class__.mro() }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ namespace(_x=1) }}",
        "{% set n = namespace() %}{% set n.__class__ = 1 %}",
        "{{ range(10000000) | list }}",
        "{{ raise_exception.__globals__['json'] }}",
        "{{ 1 // 0 }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(attack: str) -> None:
    with pytest.raises(BadRequest):
        template(attack).render([{"role": "user", "content": "x"}])


def test_a_template_sees_plain_values_only() -> None:
    class Role(enum.StrEnum):
        USER = "user"

    class Handle:
        secret = "secret"

    chat = [{"role": Role.USER, "content": Handle()}]
    source = (
        "{{ messages[0].role }} {{ messages[0].role.name }} {{ messages[0].content }} {{ messages[0].content.secret }}"
    )
    assert template(source).render(chat) == "user  <Handle> "
    assert chat[0]["role"] is Role.USER


def test_absent_special_tokens_are_undefined() -> None:
    bare = ChatTemplate("{{ bos_token is defined }}{{ eos_token }}", bos_token=None, eos_token="</s>")
    assert bare.render([]) == "False</s>"


def test_compact_chatml_has_the_same_turns_without_the_default_system_message() -> None:
    full, compact = template(SMOLLM2), compact_template(template(SMOLLM2))
    question = [{"role": "user", "content": "hi"}]
    assert compact.render(question) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert full.render(question).endswith(compact.render(question))
    with_system = [{"role": "system", "content": "Be kind."}, *question]
    assert compact.render(with_system) == full.render(with_system)
    answered = [*question, {"role": "assistant", "content": "ho"}]
    assert compact.render(answered, add_generation_prompt=False).endswith("<|im_start|>assistant\nho<|im_end|>\n")


def test_other_templates_have_no_compact_form() -> None:
    original = template(LLAMA3)
    assert compact_template(original) is original
