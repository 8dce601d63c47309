import json

import pytest

from chiliad.data import Example, Message, TaskKind, task_kind
from chiliad.data.task import label_counts


def examples(answers):
    return [Example.of([Message("user", f"input {number}")], answer) for number, answer in enumerate(answers)]


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (["yes", "no"] * 10, TaskKind.LABELS),
        (["1", "2", "3", "4", "5"] * 20, TaskKind.LABELS),
        ([f"intent {number % 77}" for number in range(1000)], TaskKind.LABELS),
        (["common"] * 30 + ["rare", "rarer"], TaskKind.LABELS),
        (["common"] * 30 + ["one", "two", "three"], TaskKind.TEXT),
        ([f"answer {number}" for number in range(100)], TaskKind.TEXT),
        ([f"twice each {number % 50}" for number in range(100)], TaskKind.TEXT),
        (["a canned reply that is far too long to be called a label " * 2, "no"] * 20, TaskKind.TEXT),
        (["a label of\ntwo lines", "no"] * 20, TaskKind.TEXT),
        ([json.dumps({"n": number}) for number in range(30)], TaskKind.JSON),
        (["{}", '{"a": 1}'] * 20, TaskKind.JSON),
        (["{}", "[1]"] * 20, TaskKind.LABELS),
        (["{}", "{broken"] * 20, TaskKind.LABELS),
        ([], TaskKind.TEXT),
    ],
)
def test_task_kind(answers, kind):
    assert task_kind(examples(answers)) is kind


def test_unusable_rows_do_not_count():
    assert task_kind(examples(["{}"] * 10 + [""])) is TaskKind.JSON


def test_labels_are_counted_by_frequency_then_name():
    assert list(label_counts(examples(["b", "c", "a", "c", ""])).items()) == [("c", 2), ("a", 1), ("b", 1)]
