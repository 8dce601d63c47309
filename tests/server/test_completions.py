import openai
import pytest

TEXT = "the cat sat on the"


def complete(client, **fields):
    return client.completions.create(**{"model": "endless", "prompt": TEXT, "max_tokens": 6, **fields})


def ids_of(http, text):
    return http.post("/tokenize", json={"prompt": text}).json()["tokens"]


def test_continues_a_text(client):
    answer = complete(client)

    assert answer.object == "text_completion"
    assert answer.choices[0].text
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].logprobs is None
    assert answer.usage.completion_tokens == 6


def test_the_four_kinds_of_prompt_mean_the_same(client, http):
    ids = ids_of(http, TEXT)
    answers = [complete(client, prompt=prompt).choices[0].text for prompt in (TEXT, [TEXT], ids, [ids])]
    assert len(set(answers)) == 1


def test_many_prompts_give_one_choice_each_in_their_order(client):
    prompts = [TEXT, "hello", "12 12 12"]
    together = complete(client, prompt=prompts)

    assert [choice.index for choice in together.choices] == [0, 1, 2]
    assert [choice.text for choice in together.choices] == [
        complete(client, prompt=prompt).choices[0].text for prompt in prompts
    ]


def test_many_prompts_with_several_choices_are_numbered_prompt_by_prompt(client):
    answer = complete(client, prompt=[TEXT, "hello"], n=2, temperature=1.5, seed=7)
    first = complete(client, prompt="hello", n=2, temperature=1.5, seed=7)

    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in answer.choices[2:]] == [choice.text for choice in first.choices]


def test_sixteen_tokens_by_default_as_openai_does(client):
    answer = client.completions.create(model="endless", prompt=TEXT)
    assert answer.usage.completion_tokens == 16


def test_echo_puts_the_prompt_in_front(client):
    plain, echoed = complete(client), complete(client, echo=True)
    assert echoed.choices[0].text == TEXT + plain.choices[0].text


def test_a_stream_says_what_the_whole_says(client):
    whole = complete(client, prompt=[TEXT, "hello"], echo=True)
    chunks = list(complete(client, prompt=[TEXT, "hello"], echo=True, stream=True))

    for index in (0, 1):
        pieces = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
        assert "".join(piece.text for piece in pieces) == whole.choices[index].text
        assert [piece.finish_reason for piece in pieces][-1] == "length"


def test_a_stream_reports_usage_last_if_asked_to(client):
    chunks = list(complete(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 6


def test_logprobs_are_four_lists_of_one_length(client):
    logprobs = complete(client, logprobs=2).choices[0].logprobs

    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == 6
    assert logprobs.text_offset[0] == 0
    assert all(logprob <= 0 for logprob in logprobs.token_logprobs)
    assert all(
        max(top, key=top.get) == token for token, top in zip(logprobs.tokens, logprobs.top_logprobs, strict=True)
    )


def test_a_prompt_is_scored_the_way_lm_eval_asks(client, http):
    """It sends token ids with echo, logprobs=1 and max_tokens=1, and reads [context:-1] of the lists."""
    ids = ids_of(http, TEXT)
    choice = complete(client, prompt=[ids], echo=True, logprobs=1, max_tokens=1).choices[0]

    scores = choice.logprobs
    assert len(scores.tokens) == len(scores.token_logprobs) == len(scores.top_logprobs) == len(ids) + 1
    assert "".join(scores.tokens[:-1]) == TEXT
    assert scores.token_logprobs[0] is None
    assert scores.top_logprobs[0] is None
    assert all(logprob < 0 for logprob in scores.token_logprobs[1:])


def test_scores_of_a_prompt_agree_with_those_of_a_generation_at_the_same_place(client, http):
    ids = ids_of(http, TEXT)
    scored = complete(client, prompt=[ids], echo=True, logprobs=20, max_tokens=0).choices[0]
    generated = complete(client, prompt=[ids[:-1]], logprobs=20, max_tokens=1).choices[0]

    assert scored.text == TEXT
    in_prompt, in_answer = scored.logprobs.top_logprobs[-1], generated.logprobs.top_logprobs[0]
    both = in_prompt.keys() & in_answer.keys()
    assert len(both) > 5, "tokens that are half a character share one spelling"
    assert [in_prompt[token] for token in both] == pytest.approx([in_answer[token] for token in both], abs=0.05)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"prompt": ""}, "invalid_value", "prompt"),
        ({"prompt": []}, "invalid_value", "prompt"),
        ({"prompt": [[]]}, "invalid_value", "prompt"),
        ({"prompt": [999_999]}, "invalid_value", "prompt"),
        ({"prompt": [-1]}, "invalid_value", "prompt"),
        ({"prompt": [TEXT, 3]}, "invalid_value", "prompt"),
        ({"prompt": ["a"] * 100, "n": 2}, "invalid_value", "n"),
        ({"max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"logprobs": 21}, "invalid_value", "logprobs"),
        ({"suffix": "end"}, "unsupported_feature", "suffix"),
        ({"best_of": 4}, "unsupported_feature", "best_of"),
        ({"echo": True, "logprobs": 1, "stream": True}, "unsupported_feature", "stream"),
    ],
)
def test_a_bad_value_is_named(client, fields, code, param):
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, **fields)
    assert (caught.value.code, caught.value.param) == (code, param)
