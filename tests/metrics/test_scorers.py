"""Scorers against values worked out by hand or by another library."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from chiliad.metrics import (
    accuracy,
    exact_match,
    json_field_f1,
    macro_f1,
    main_metric,
    metrics_for,
    rouge_l,
    span_f1,
    token_f1,
)

ALL = (exact_match, accuracy, macro_f1, token_f1, span_f1, rouge_l, json_field_f1)


@pytest.mark.parametrize(
    ("prediction", "reference", "score"),
    [("yes", "yes", 1), (" yes\n", "yes", 1), ("a  b", "a b", 1), ("Yes", "yes", 0), ("", "yes", 0), ("ab", "a b", 0)],
)
def test_exact_match_ignores_whitespace_and_nothing_else(prediction, reference, score):
    assert exact_match([prediction], [reference]).per_example == (score,)
    assert accuracy([prediction], [reference]).per_example == (score,)


def test_value_is_the_mean_and_rows_keep_their_order():
    scores = accuracy(["a", "b", "x", "a"], ["a", "b", "c", "b"])
    assert (scores.name, scores.per_example, scores.value) == ("accuracy", (1, 1, 0, 0), 0.5)


LABELS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abc")), min_size=1, max_size=40)


@given(LABELS)
def test_macro_f1_agrees_with_sklearn_over_the_labels_that_occur(rows):
    predictions, references = zip(*rows, strict=True)
    wanted = f1_score(references, predictions, labels=sorted(set(references)), average="macro", zero_division=0)
    assert macro_f1(predictions, references).value == pytest.approx(wanted)


def test_token_f1_is_squads():
    score = token_f1(["The cat sat, on a mat."], ["cat sat here"]).value  # 4 words found, 3 wanted, 2 shared
    assert score == pytest.approx(2 * 2 / (4 + 3))
    assert token_f1(["the"], ["an"]).value == 1
    assert token_f1(["dog"], ["cat"]).value == 0


def test_rouge_l_counts_the_longest_common_subsequence_of_words():
    score = rouge_l(["police killed the gunman"], ["Police kill the gunman."]).value  # Lin 2004, section 3: LCS 3 of 4
    assert score == pytest.approx(0.75)
    assert rouge_l(["the gunman kill police"], ["police kill the gunman"]).value == pytest.approx(0.5)
    assert rouge_l([""], ["x"]).value == 0
    assert rouge_l(["привет мир"], ["Привет, мир!"]).value == 1


@pytest.mark.parametrize(
    ("prediction", "reference", "score"),
    [
        ({"a": 1, "b": "x"}, {"b": "x", "a": 1.0}, 1),
        ({"a": 1}, {"a": "1"}, 0),
        ({"a": True}, {"a": 1}, 0),
        ({"a": "New  York"}, {"a": "New York"}, 1),
        ({"a": 1, "b": 2}, {"a": 1}, 2 / 3),
        ({}, {}, 1),
        ({}, {"a": 1}, 0),
        ({"a": []}, {}, 0),
        ({"a": {"b": 1}}, {"a.b": 1}, 0),
        ({"tags": ["x", "y"]}, {"tags": ["y", "x"]}, 1),
        ({"tags": ["x", "x"]}, {"tags": ["x"]}, 2 / 3),
        ({"items": [{"n": "a", "q": 1}, {"n": "b", "q": 2}]}, {"items": [{"n": "a", "q": 2}, {"n": "b", "q": 1}]}, 0.5),
    ],
)
def test_json_field_f1(prediction, reference, score):
    assert json_field_f1([json.dumps(prediction)], [json.dumps(reference)]).value == pytest.approx(score)


@pytest.mark.parametrize("broken", ["", "{", '["a"]', "null", "[" * 100_000, 'x {"a": 1}', '{"a": 1} {"a": 1}'])
def test_an_answer_that_is_no_object_scores_zero(broken):
    assert json_field_f1([broken], ["{}"]).value == 0
    assert span_f1([broken], ["{}"]).per_example == (0,)


def test_span_f1_pools_spans_over_rows():
    predictions = ['{"to": "Paris"}', '{"to": "Rome", "from": "Oslo"}', "not json", "{}"]
    references = ['{"to": "Paris"}', '{"to": "Rome"}', '{"to": "Bonn"}', "{}"]
    scores = span_f1(predictions, references)
    assert scores.value == pytest.approx(2 * 2 / (3 + 3))
    assert scores.per_example == (1, pytest.approx(2 / 3), 0, 1)
    assert span_f1(["{}"], ["{}"]).value == 1


@pytest.mark.parametrize("scorer", ALL)
@given(rows=st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=8))
def test_every_scorer_stays_between_0_and_1_and_rewards_the_wanted_answer(scorer, rows):
    predictions, references = zip(*rows, strict=True)
    scores = scorer(predictions, references)
    assert len(scores.per_example) == len(rows)
    assert all(0 <= score <= 1 for score in (*scores.per_example, scores.value))
    assert set(scorer(references, references).per_example) == {1.0}


@pytest.mark.parametrize(
    ("kind", "name"), [("labels", "accuracy"), ("LABELS", "accuracy"), ("json", "json_field_f1"), ("text", "rouge_l")]
)
def test_the_main_metric_of_a_kind_comes_first(kind, name):
    assert main_metric(kind)(["{}"], ["{}"]).name == name
    assert metrics_for(kind)[0] is main_metric(kind)


def test_row_counts_must_agree():
    with pytest.raises(ValueError, match="zip"):
        accuracy(["a"], ["a", "b"])


def test_macro_f1_weighs_a_rare_label_as_much_as_a_frequent_one():
    references = ["common"] * 99 + ["rare"]
    assert macro_f1(["common"] * 100, references).value == pytest.approx(np.mean([2 * 99 / 199, 0]))
