"""What the untrained base model is told and shown."""

from collections import Counter
from dataclasses import replace

import pytest

from chiliad.data import Example, Message, TaskKind
from chiliad.evals import Answer, EvalOptions
from chiliad.evals.baselines import Prompter
from chiliad.evals.baselines.prompted import choose_shots, few_shot, instruction, unfenced, zero_shot
from tests.evals.conftest import count_tokens, example


@pytest.fixture
def asked():
    return []


@pytest.fixture
def prompter(asked):
    def answer(prompts, choices, tokens_max):
        asked.append((prompts, choices, tokens_max))
        return [Answer((choices or ["x"])[0], 1, 1) for _ in prompts]

    return Prompter(answer, count_tokens, 16, EvalOptions())


def test_zero_shot_says_the_task_and_the_labels_and_constrains_to_them(labels_dataset, prompter, asked):
    one = labels_dataset.test[0]
    zero_shot(labels_dataset, prompter).predict([one])
    [([prompt], choices, tokens_max)] = asked
    assert [turn.role for turn in prompt] == ["system", "user"]
    assert prompt[0].content.startswith("Say what the customer wants.")
    assert prompt[0].content.splitlines()[-3:] == ["card_lost", "hours", "refund"]
    assert prompt[1:] == list(one.messages)
    assert choices == labels_dataset.labels
    assert tokens_max == 16


def test_few_shot_shows_training_examples_as_turns(labels_dataset, prompter, asked):
    baseline = few_shot(labels_dataset, prompter)
    baseline.predict(labels_dataset.test[:1])
    prompt = asked[0][0][0]
    assert baseline.title == "Base model, 5-shot"
    assert [turn.role for turn in prompt] == ["system", *["user", "assistant"] * 5, "user"]
    shown = {(prompt[i].content, prompt[i + 1].content) for i in range(1, 11, 2)}
    assert shown <= {(one.input, one.answer) for one in labels_dataset.train}


def test_shots_cover_the_labels_and_stay_the_same(labels_dataset):
    shots = choose_shots(labels_dataset, 5)
    counts = Counter(shot.answer for shot in shots)
    assert sorted(counts.values()) == [1, 2, 2]
    shuffled = replace(labels_dataset, train=labels_dataset.train[::-1])
    assert choose_shots(shuffled, 5) == shots
    assert [shot.answer for shot in choose_shots(labels_dataset, 3)] != [shots[0].answer] * 3


def test_there_are_no_more_shots_than_training_rows(labels_dataset):
    assert len(choose_shots(replace(labels_dataset, train=labels_dataset.train[:2]), 5)) == 2


def test_shots_that_do_not_fit_are_left_out(labels_dataset, prompter, asked):
    tight = replace(prompter, options=EvalOptions(prompt_tokens_max=80))
    long = example("word " * 40, "refund")
    short = labels_dataset.test[0]
    baseline = few_shot(replace(labels_dataset, test=(short, long)), tight)
    baseline.predict([short, long])
    short_prompt, long_prompt = asked[0][0]
    assert 2 < len(short_prompt) < 12
    assert len(long_prompt) == 2
    assert baseline.title == f"Base model, 0 to {len(short_prompt) // 2 - 1}-shot"


def test_a_label_list_that_would_fill_the_prompt_is_left_out(labels_dataset, prompter, asked):
    many = replace(labels_dataset, labels=tuple(f"label {i}" for i in range(500)), instruction=None)
    zero_shot(many, prompter).predict(labels_dataset.test[:1])
    assert asked[0][0][0][0].content == "Classify the user's message."
    assert asked[0][1] == many.labels


def test_json_tasks_name_the_keys_and_are_free(json_dataset, prompter, asked):
    zero_shot(json_dataset, prompter).predict(json_dataset.test[:1])
    assert "count, thing, to" in asked[0][0][0][0].content
    assert asked[0][1] is None


def test_a_system_turn_of_the_example_is_kept(text_dataset, prompter, asked):
    one = Example.of([Message("system", "You are a pirate."), Message("user", "hello")], "arr")
    zero_shot(text_dataset, prompter).predict([one])
    system, user = asked[0][0][0]
    assert "You are a pirate." in system.content
    assert user == Message("user", "hello")


def test_text_tasks_without_an_instruction_get_a_plain_one(text_dataset):
    assert text_dataset.kind is TaskKind.TEXT
    assert instruction(text_dataset).startswith("Answer the user's message")


@pytest.mark.parametrize(
    ("answer", "inside"),
    [
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ('Here it is:\n```\n{"a": 1}\n```\nEnjoy', '{"a": 1}'),
        ('{"a": 1}', '{"a": 1}'),
    ],
)
def test_a_code_fence_is_taken_off(answer, inside):
    assert unfenced(answer) == inside


def test_only_a_few_rows_are_asked(labels_dataset, prompter):
    assert zero_shot(labels_dataset, prompter).rows_max == 200
