"""Similarities against values worked out by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiliad.metrics.similarity import SIMILARITIES


@pytest.mark.parametrize(
    ("name", "found", "wanted", "value"),
    [
        ("fuzzy_match", "abcd", "abxd", 0.75),
        ("fuzzy_match", "", "", 1.0),
        ("rouge_1", "the cat sat", "the cat ran", 2 / 3),
        ("rouge_2", "the cat sat", "the cat ran", 0.5),
        ("rouge_5", "two words", "two words", 1.0),
        ("rouge_5", "two words", "other words", 0.0),
        ("rouge_l", "the cat sat", "The, cat: sat!", 1.0),
        ("gleu", "the cat sat", "the cat ran", 3 / 6),
        ("gleu", "the", "the cat", 1 / 3),
    ],
)
def test_values(name, found, wanted, value):
    assert SIMILARITIES[name](found, wanted) == pytest.approx(value)


@settings(deadline=None)
@given(st.text(), st.text())
def test_every_measure_is_symmetric_and_a_text_is_like_itself(one, other):
    for measure in SIMILARITIES.values():
        assert 0 <= measure(one, other) <= 1
        assert measure(one, other) == pytest.approx(measure(other, one))
        assert measure(one, one) == 1
