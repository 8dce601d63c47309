"""The contract that every baseline keeps, and what each one is for."""

from dataclasses import replace

import numpy as np
import pytest

from chiliad.data import Example, Message, TaskKind
from chiliad.evals import EvalOptions
from chiliad.evals.answering import remembering
from chiliad.evals.baselines import Prompter, baseline_makers
from chiliad.evals.baselines.frequent import most_frequent
from chiliad.evals.baselines.linear import embedder_linear, tfidf_linear
from chiliad.evals.baselines.nearest import nearest_neighbour
from tests.evals.conftest import count_tokens, example, first_choice, label_rows

NAMES = ["majority", "zero_shot", "few_shot", "nearest", "tfidf_linear", "embedder_linear"]


def makers(dataset, embed):
    return baseline_makers(dataset, Prompter(first_choice, count_tokens, 16, EvalOptions()), embed)


@pytest.fixture(params=range(len(NAMES)), ids=NAMES)
def baseline(request, labels_dataset, embed):
    return makers(labels_dataset, embed)[request.param]()


def test_each_answers_every_example_in_order_with_a_label(baseline, labels_dataset):
    answers = baseline.predict(labels_dataset.test)
    assert len(answers) == len(labels_dataset.test)
    assert set(answers) <= set(labels_dataset.labels)
    assert all(type(answer) is str for answer in answers)
    assert baseline.predict(labels_dataset.test[::-1]) == answers[::-1]


def test_none_looks_at_the_answer(baseline, labels_dataset):
    blind = [replace(one, id="", answer="") for one in labels_dataset.test]
    assert baseline.predict(blind) == baseline.predict(labels_dataset.test)


def test_each_takes_an_empty_split(baseline):
    assert baseline.predict([]) == []


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_trained_twice_each_gives_the_same_answers(index, labels_dataset, embed):
    first, second = (makers(labels_dataset, embed)[index]() for _ in range(2))
    assert first.name == NAMES[index]
    assert first.predict(labels_dataset.test) == second.predict(labels_dataset.test)


def test_linear_baselines_are_for_labels_only(json_dataset, text_dataset, embed):
    for dataset in (json_dataset, text_dataset):
        names = [make().name for make in makers(dataset, embed)]
        assert names == ["majority", "zero_shot", "few_shot", "nearest"]


def test_without_an_embedder_those_that_need_it_are_out(labels_dataset):
    names = [make().name for make in makers(labels_dataset, None)]
    assert names == ["majority", "zero_shot", "few_shot", "tfidf_linear"]


def test_majority_is_the_most_frequent_answer_and_ties_go_by_alphabet(labels_dataset):
    train = (example("a", "z"), example("b", "b"), example("c", "b"), example("d", "z"), example("e", "m"))
    baseline = most_frequent(replace(labels_dataset, train=train))
    assert (baseline.title, baseline.predict(train)) == ("Majority class", ["b"] * 5)
    assert most_frequent(replace(labels_dataset, kind=TaskKind.TEXT)).title == "Most frequent answer"


def test_nearest_gives_back_the_answer_of_a_training_input(labels_dataset, embed):
    baseline = nearest_neighbour(labels_dataset, embed)
    assert baseline.predict(labels_dataset.train) == [one.answer for one in labels_dataset.train]


def test_nearest_reads_the_whole_conversation_but_not_the_system_turn(labels_dataset, embed):
    def talk(word, system, answer=""):
        turns = [
            Message("system", system),
            Message("user", word),
            Message("assistant", "which?"),
            Message("user", "it"),
        ]
        return Example.of(turns, answer)

    dataset = replace(labels_dataset, train=(talk("lamp", "x", "L"), talk("book", "y", "B")))
    assert nearest_neighbour(dataset, embed).predict([talk("book", "x"), talk("lamp", "y")]) == ["B", "L"]


@pytest.mark.parametrize("make", [tfidf_linear, lambda dataset: embedder_linear(dataset, make_embed())])
def test_linear_baselines_generalise_where_words_tell(make, labels_dataset):
    dataset = replace(labels_dataset, train=tuple(label_rows(("today", "oslo", "here"))))
    unseen = label_rows(("mars", "venus"))
    assert make(dataset).predict(unseen) == [one.answer for one in unseen]


def test_linear_baselines_take_labels_with_one_row_each(labels_dataset):
    rows = tuple(example(f"word{i} thing{i}", f"label{i}") for i in range(40))
    assert tfidf_linear(replace(labels_dataset, train=rows)).predict(rows[:3]) == ["label0", "label1", "label2"]


def test_tfidf_takes_texts_without_any_word(labels_dataset):
    rows = tuple(example(sign * count, sign) for sign in "?!" for count in (1, 2, 3))
    assert tfidf_linear(replace(labels_dataset, train=rows)).predict(rows) == list("???!!!")


def make_embed():
    def vectors(texts):
        rows = np.zeros((len(texts), 64), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[sum(word.encode()) % 64] += 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    return vectors


def test_a_remembering_embedder_embeds_each_text_once(embed):
    asked = []

    def counting(texts):
        asked.extend(texts)
        return embed(texts)

    remembered = remembering(counting)
    np.testing.assert_array_equal(remembered(["a", "b", "a"]), embed(["a", "b", "a"]))
    np.testing.assert_array_equal(remembered(["b", "c"]), embed(["b", "c"]))
    assert asked == ["a", "b", "c"]
    assert remembered([]).shape == (0, 256)
