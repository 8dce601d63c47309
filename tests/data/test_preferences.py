"""Tables that state preferences, how they are divided and frozen, and what is wrong with some of them."""

import json

import pytest

from chiliad.data import (
    Dataset,
    assemble,
    freeze_preferences,
    states_preferences,
    table_from_rows,
    to_examples,
    to_preferences,
)
from chiliad.data.columns import Columns
from chiliad.data.dataset import PREFERENCES_FILE
from chiliad.errors import ColumnsNotFound, DataError, UnreadableFile, UnusableData


def turn(role, content):
    return {"role": role, "content": content}


def pairs(count, first=0):
    return [
        {"prompt": f"write to {n}", "chosen": f"Dear {n}", "rejected": f"hey {n}"} for n in range(first, first + count)
    ]


def thumbs(count, first=0):
    return [
        {"prompt": f"write to {n}", "completion": f"Dear {n}" if n % 2 else f"hey {n}", "label": bool(n % 2)}
        for n in range(first, first + count)
    ]


def stated(rows, **named):
    return to_preferences(table_from_rows(rows, "said.jsonl"), **named)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "hi", "chosen": "Hello.", "rejected": "what"},
        {"Question": "hi", "Chosen": " Hello. ", "Rejected": "what"},
        {
            "prompt": [turn("user", "hi")],
            "chosen": [turn("assistant", "Hello.")],
            "rejected": [turn("assistant", "what")],
        },
        {
            "chosen": [turn("user", "hi"), turn("assistant", "Hello.")],
            "rejected": [turn("user", "hi"), turn("assistant", "what")],
        },
        {
            "prompt": "hi",
            "chosen": [turn("user", "hi"), turn("assistant", "Hello.")],
            "rejected": [turn("user", "hi"), turn("assistant", "what")],
        },
        {
            "input": {"messages": [turn("user", "hi")], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [turn("assistant", "Hello.")],
            "non_preferred_output": [turn("assistant", "what")],
        },
    ],
    ids=["texts", "names", "messages", "whole-conversations", "prompt-twice", "openai"],
)
def test_every_usual_format_of_pairs_gives_the_same_preference(row):
    assert states_preferences(table_from_rows([row]))
    [one] = stated([row])
    assert ([(m.role, m.content) for m in one.messages], one.chosen, one.rejected) == (
        [("user", "hi")],
        "Hello.",
        "what",
    )
    assert one.is_pair
    assert one.id == stated([{"prompt": "hi", "chosen": "Hello.", "rejected": "what"}])[0].id


@pytest.mark.parametrize("said", [(True, False), ("True", "False"), ("true", "FALSE"), (1, 0), ("1", "0"), (1.0, 0.0)])
def test_labels_are_thumbs(said):
    rows = [
        {"prompt": "hi", "completion": text, "label": label}
        for text, label in zip(("Hello.", "what"), said, strict=True)
    ]
    assert states_preferences(table_from_rows(rows))
    assert [(one.chosen, one.rejected) for one in stated(rows)] == [("Hello.", None), (None, "what")]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "hi", "completion": "Hello."},
        {"prompt": "hi", "completion": "Hello.", "label": "greeting"},
        {"text": "buy now", "label": True},
    ],
)
def test_examples_are_no_preferences(row):
    assert not states_preferences(table_from_rows([row]))


@pytest.mark.parametrize(
    ("row", "error", "cause"),
    [
        ({"prompt": "hi", "chosen": "a", "rejected": "a "}, UnreadableFile, "row 2: .*same answer"),
        ({"prompt": "hi", "chosen": "a", "rejected": ""}, UnreadableFile, "row 2: rejected is empty"),
        ({"prompt": "hi", "chosen": None, "rejected": "a"}, UnreadableFile, "row 2: chosen is empty"),
        ({"prompt": " ", "chosen": "a", "rejected": "b"}, UnreadableFile, "row 2: there is no prompt"),
        ({"chosen": "a", "rejected": "b"}, UnreadableFile, "row 2: there is no prompt"),
        (
            {
                "chosen": [turn("user", "x"), turn("assistant", "a")],
                "rejected": [turn("user", "y"), turn("assistant", "b")],
            },
            UnreadableFile,
            "row 2: .*different conversations",
        ),
        (
            {"prompt": {"messages": [turn("user", "x")], "tools": [{}]}, "chosen": "a", "rejected": "b"},
            UnreadableFile,
            "row 2: the prompt has tools",
        ),
        ({"prompt": "hi", "chosen": "a" * 600_000, "rejected": "b" * 600_000}, UnreadableFile, "row 2: .*longer than"),
    ],
)
def test_a_row_that_states_no_preference_is_named(row, error, cause):
    with pytest.raises(error, match=cause) as raised:
        stated([pairs(1)[0], row])
    assert raised.value.fix


@pytest.mark.parametrize(
    ("rows", "error", "cause"),
    [
        ([{"prompt": "hi", "chosen": "a"}], ColumnsNotFound, "column 'chosen', but not 'rejected'"),
        ([{"input": "hi", "non_preferred_output": "a"}], ColumnsNotFound, "but not 'preferred_output'"),
        ([{"text": "hi", "tag": "a"}], ColumnsNotFound, "states no preferences"),
        (
            [*thumbs(3), {"prompt": "x", "completion": "y", "label": "perhaps"}],
            UnreadableFile,
            "row 4: label is 'perhaps'",
        ),
    ],
)
def test_a_table_that_cannot_be_learned_says_why(rows, error, cause):
    with pytest.raises(error, match=cause) as raised:
        stated(rows)
    assert raised.value.fix


@pytest.mark.parametrize(("label", "word"), [(True, "good"), (False, "bad")])
def test_answers_of_one_kind_alone_compare_with_nothing(tmp_path, label, word):
    with pytest.raises(UnusableData, match=f"All 30 answers are rated {word}") as raised:
        freeze_preferences(stated([{**row, "label": label} for row in thumbs(30)]), tmp_path, source="x")
    assert ("supervised" in raised.value.fix) is label


def test_too_few_preferences_are_refused(tmp_path):
    with pytest.raises(UnusableData, match="19 different preferences"):
        freeze_preferences(stated([*pairs(19), *pairs(19)]), tmp_path, source="x")


@pytest.mark.parametrize("rows", [pairs(60), thumbs(60)], ids=["pairs", "thumbs"])
def test_a_frozen_dataset_comes_back_with_its_preferences(tmp_path, rows):
    dataset = freeze_preferences(stated(rows), tmp_path, source="said.jsonl")
    assert Dataset.load(tmp_path, dataset.hash) == dataset
    parts = dataset.preferences
    assert len(parts.train) + len(parts.dev) + len(parts.test) == 60
    assert min(len(parts.train), len(parts.dev), len(parts.test)) >= 6
    assert freeze_preferences(stated(rows[::-1]), tmp_path, source="again").hash == dataset.hash
    for examples, some in ((dataset.train, parts.train), (dataset.test, parts.test)):
        assert {one.key for one in examples} == {one.key for one in some if one.chosen}
    if not parts.have_pairs:
        assert {one.chosen is None for one in parts.train} == {True, False}


def test_the_file_is_in_trls_format(tmp_path):
    folder = tmp_path / freeze_preferences(stated(pairs(30)), tmp_path, source="x").hash[:12]
    lines = [json.loads(line) for line in (folder / PREFERENCES_FILE).read_text().splitlines()]
    assert {"prompt", "chosen", "rejected", "split"} == set(lines[0])
    again = to_preferences(table_from_rows(lines))
    assert {one.id for one in again} == {one.id for one in stated(pairs(30))}


def test_a_changed_file_is_noticed(tmp_path):
    dataset = freeze_preferences(stated(pairs(30)), tmp_path, source="x")
    path = tmp_path / dataset.hash[:12] / PREFERENCES_FILE
    path.write_bytes(path.read_bytes().replace(b"hey", b"hoy"))
    with pytest.raises(DataError, match="changed or damaged"):
        Dataset.load(tmp_path, dataset.hash)


def test_no_prompt_is_on_two_sides(tmp_path):
    rows = [{"prompt": f"p{n % 25}", "completion": f"a{n}", "label": n < 40} for n in range(80)]
    parts = freeze_preferences(stated(rows), tmp_path, source="x").preferences
    keys = [{one.key for one in part} for part in (parts.train, parts.dev, parts.test)]
    assert sum(map(len, keys)) == len(set.union(*keys)) == 25


def test_what_an_expert_is_tested_on_is_not_learned_and_what_was_held_out_stays_so(tmp_path):
    table = table_from_rows([{"prompt": f"write to {n}", "completion": f"To {n}"} for n in range(40)])
    before = assemble(to_examples(table, Columns(("prompt",), "completion")), source="t.csv")
    first = freeze_preferences(stated(pairs(80)), tmp_path, beside=before, source="p.csv")
    assert (first.train, first.test, first.source) == (before.train, before.test, "t.csv + p.csv")
    tested = {example.key for example in before.test}
    held = {one.key for one in first.preferences.test}
    learned = {one.key for one in (*first.preferences.train, *first.preferences.dev)}
    assert not tested & (learned | held)
    kept = first.preferences
    again = freeze_preferences(stated(pairs(120)), tmp_path, test=kept.test, before=kept, beside=first, source="p.csv")
    assert (again.preferences.test, again.preferences.dev) == (kept.test, kept.dev)
    assert not held & {one.key for one in again.preferences.train}
    other = freeze_preferences(
        stated(pairs(120)), tmp_path, test=stated(pairs(20, 200)), before=kept, beside=first, source="p.csv"
    ).preferences
    assert not held & {one.key for one in (*other.train, *other.dev, *other.test)}
    assert other.dev == kept.dev
    unlike = freeze_preferences(stated(pairs(40, 300)), tmp_path, test=kept.test, before=kept, beside=first, source="x")
    assert unlike.preferences.dev
    own = freeze_preferences(stated(pairs(80)), tmp_path, test=stated(pairs(30)), beside=before, source="p.csv")
    assert {one.key for one in own.preferences.test} == {one.key for one in stated(pairs(30))}
    with pytest.raises(UnusableData, match="are about prompts that the expert is tested on"):
        freeze_preferences(stated(pairs(22)), tmp_path, beside=before, source="p.csv")
