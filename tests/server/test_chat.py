import openai
import pytest

from chiliad.kernels import native_for

ASK = [{"role": "user", "content": "where is my card"}]


def ask(client, **fields):
    return client.chat.completions.create(**{"model": "endless", "messages": ASK, "max_tokens": 8, **fields})


def joined(chunks, index=0):
    deltas = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in deltas)


def test_answers_in_openais_shape(client):
    answer = ask(client)

    choice = answer.choices[0]
    assert answer.object == "chat.completion"
    assert answer.model == "endless@1"
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.finish_reason == "length"
    assert choice.logprobs is None
    assert answer.usage.completion_tokens == 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 8


def test_a_stream_says_what_the_whole_answer_says(client):
    whole = ask(client)
    chunks = list(ask(client, stream=True))

    assert joined(chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == [None, "length"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_ends_with_done_and_is_not_cached(http):
    body = {"model": "endless", "messages": ASK, "max_tokens": 3, "stream": True}
    reply = http.post("/v1/chat/completions", json=body)

    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["cache-control"] == "no-store"
    assert reply.text.endswith("data: [DONE]\n\n")
    assert all(line.startswith("data: ") for line in reply.text.split("\n\n") if line)
    assert '"usage"' not in reply.text


def test_a_stream_reports_usage_last_if_asked_to(client):
    whole = ask(client)
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))

    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_versions_of_an_expert_answer_differently_and_the_alias_is_the_live_one(client):
    first, second, alias = (
        ask(client, model=name).choices[0].message.content for name in ("tickets@1", "tickets@2", "tickets")
    )
    assert first != second
    assert alias == second


def test_an_expert_with_a_closed_set_of_answers_gives_one_of_them(client):
    choice = ask(client, model="labels").choices[0]
    assert choice.message.content in ("card", "refund", "hours")
    assert choice.finish_reason == "stop"


@pytest.mark.parametrize("stream", [True, False])
def test_usage_says_how_much_of_the_prompt_was_known(client, stream):
    """Of a prompt of 33 tokens or more that was just asked, a block of 32; nothing where PyTorch computes."""
    ask(client)
    answer = ask(client, stream=stream, **({"stream_options": {"include_usage": True}} if stream else {}))
    used = list(answer)[-1].usage if stream else answer.usage
    assert 33 <= used.prompt_tokens <= 64
    assert used.prompt_tokens_details.cached_tokens == (32 if native_for() else 0)


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_both_names_of_the_token_limit_count(client, field):
    answer = client.chat.completions.create(model="endless", messages=ASK, **{field: 3})
    assert answer.usage.completion_tokens == 3


def test_a_token_limit_above_the_context_is_only_an_upper_bound(client):
    answer = ask(client, max_tokens=100_000)
    assert answer.usage.total_tokens == 512
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize("as_list", [True, False])
def test_a_stop_string_ends_the_answer_and_is_not_in_it(client, as_list):
    text = ask(client, max_tokens=20).choices[0].message.content
    stop = text[5:7]
    choice = ask(client, max_tokens=20, stop=[stop, "never said"] if as_list else stop).choices[0]

    assert choice.message.content == text[: text.index(stop)]
    assert choice.finish_reason == "stop"


def test_a_stop_string_is_never_seen_in_a_stream(client):
    text = ask(client, max_tokens=20).choices[0].message.content
    stop = text[5:9]
    assert joined(ask(client, max_tokens=20, stop=stop, stream=True)) == text[: text.index(stop)]


def test_a_seed_repeats_an_answer_and_another_seed_changes_it(client):
    first, again, other = (
        ask(client, temperature=1.5, seed=seed, max_tokens=16).choices[0].message.content for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_top_k_of_one_and_a_small_top_p_are_greedy(client):
    greedy = ask(client).choices[0].message.content
    assert ask(client, temperature=2, extra_body={"top_k": 1}).choices[0].message.content == greedy
    assert ask(client, temperature=2, top_p=1e-9).choices[0].message.content == greedy


def test_several_choices_are_numbered_and_differ(client):
    answer = ask(client, n=3, temperature=1.5, seed=4)

    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) == 3
    assert answer.usage.completion_tokens == 24


def test_several_choices_stream_side_by_side(client):
    whole = ask(client, n=3, temperature=1.5, seed=4)
    chunks = list(ask(client, n=3, temperature=1.5, seed=4, stream=True))
    assert [joined(chunks, i) for i in range(3)] == [choice.message.content for choice in whole.choices]


def test_logprobs_list_every_token_with_alternatives(client):
    choice = ask(client, logprobs=True, top_logprobs=3).choices[0]

    scored = choice.logprobs.content
    assert len(scored) == 8
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 3 for token in scored)
    assert all(token.top_logprobs[0].logprob >= token.top_logprobs[-1].logprob for token in scored)
    assert all(token.bytes is None or bytes(token.bytes).decode() == token.token for token in scored)
    assert scored[0].top_logprobs[0].token == scored[0].token, "greedy takes the likeliest"


def test_logprobs_of_a_finished_turn_spell_the_message(client):
    choice = ask(client, model="labels", logprobs=True).choices[0]
    assert "".join(token.token for token in choice.logprobs.content) == choice.message.content
    assert choice.logprobs.content[0].top_logprobs == []


def test_streamed_logprobs_are_those_of_the_whole(client):
    whole = ask(client, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    chunks = ask(client, logprobs=True, top_logprobs=2, stream=True)
    streamed = [token for chunk in chunks for token in (chunk.choices[0].logprobs or whole_of_nothing()).content]
    assert [token.token for token in streamed] == [token.token for token in whole]


def whole_of_nothing():
    return openai.types.chat.chat_completion.ChoiceLogprobs(content=[], refusal=None)


def test_system_and_developer_messages_are_joined_in_front(client):
    several = [
        {"role": "system", "content": "One."},
        {"role": "user", "content": "hello"},
        {"role": "developer", "content": [{"type": "text", "text": "Two."}]},
    ]
    one = [{"role": "system", "content": "One.\n\nTwo."}, {"role": "user", "content": "hello"}]
    first, second = ask(client, messages=several), ask(client, messages=one)

    assert first.usage.prompt_tokens == second.usage.prompt_tokens
    assert first.choices[0].message.content == second.choices[0].message.content


def test_unknown_fields_are_ignored(client):
    answer = ask(client, user="me", metadata={"a": "b"}, store=False, extra_body={"something_new": {"x": 1}})
    assert answer.choices[0].message.content


ABSENT = {"tools": [], "tool_choice": "auto", "response_format": {"type": "text"}, "frequency_penalty": 0.0}


def test_asking_for_nothing_of_a_missing_feature_is_fine(client):
    assert ask(client, **ABSENT).choices[0].message.content


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frequency_penalty", 0.5),
        ("presence_penalty", -1),
        ("logit_bias", {"1": 5}),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "alloy", "format": "mp3"}),
        ("functions", [{"name": "f"}]),
    ],
)
def test_a_missing_feature_is_refused_by_name(client, field, value):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **{field: value})
    assert caught.value.code == "unsupported_feature"
    assert caught.value.param == field


@pytest.mark.parametrize(
    "message",
    [
        {"role": "function", "name": "f", "content": "x"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
    ],
)
def test_messages_of_a_missing_kind_are_refused(client, message):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, messages=[*ASK, message])
    assert caught.value.code == "unsupported_feature"
    assert caught.value.param.startswith("messages.1")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": [""]}, "stop"),
        ({"stop": 3}, "stop"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.0.content"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"seed": 2**70}, "seed"),
    ],
)
def test_a_bad_value_is_named(client, fields, param):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **fields)
    assert caught.value.code == "invalid_value"
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert caught.value.body["fix"]


def test_a_prompt_that_leaves_no_room_is_refused_as_openai_does(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, messages=[{"role": "user", "content": "x" * 600}])
    assert caught.value.code == "context_length_exceeded"
    assert "This model's maximum context length is " in caught.value.message, "the words that LiteLLM looks for"


@pytest.mark.parametrize("stream", [True, False])
def test_an_unknown_model_is_a_404_also_for_a_stream(client, stream):
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, model="nobody", stream=stream)
    assert caught.value.code == "model_not_found"
