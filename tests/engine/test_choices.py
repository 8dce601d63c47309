"""The tree of a closed set of answers."""

from __future__ import annotations

import pytest

from chiliad.engine.choices import choice_tree
from chiliad.errors import BadRequest


def test_only_tokens_that_lead_to_an_answer_are_allowed():
    root = choice_tree(((1, 2, 9), (1, 3, 9), (4, 9)))
    assert root.allowed == (1, 4)
    assert root.forced is None
    assert root.children[1].allowed == (2, 3)
    assert root.children[4].forced == 9
    assert root.children[4].children[9].allowed == ()


def test_equal_answers_are_one():
    assert choice_tree(((1, 9), (1, 9))).forced == 1


@pytest.mark.parametrize("choices", [(), ((),), ((1,), ()), ((1, 2), (1,)), ((1,), (1, 2))])
def test_a_set_that_cannot_be_told_apart_is_refused(choices):
    with pytest.raises(BadRequest):
        choice_tree(choices)
