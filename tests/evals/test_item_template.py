"""Places in an eval's templates."""

import time

import pytest

from chiliad.errors import EvalError
from chiliad.evals.item_template import fill, look_up

VALUES = {"item": {"q": "how?", "n": 3, "turns": [{"content": "a"}, {"content": "{{item.q}}"}], "deep": {"x": None}}}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Say {{ item.q }} {{item.n}} times", "Say how? 3 times"),
        ("{{item.turns[0].content}} {{item.turns.0.content}}", "a a"),
        ("{{item.turns[1].content}}", "{{item.q}}"),  # what an item holds is no template
        ("{{item.deep}}", '{"x": null}'),
        ("no place { } {{", "no place { } {{"),
    ],
)
def test_places_are_filled(template, text):
    assert fill(template, VALUES) == text


@pytest.mark.parametrize("path", ["item.x", "item.turns[7]", "item.turns.q", "item.q.r", "other", "item.__class__"])
def test_a_place_without_a_value_is_an_error(path):
    with pytest.raises(EvalError, match="There is no"):
        fill("{{" + path + "}}", VALUES)


def test_a_place_that_never_ends_takes_no_time():
    began = time.process_time()
    endless = "{{" + " " * 100_000
    assert fill(endless, VALUES) == endless
    assert time.process_time() - began < 1


def test_a_value_is_found_as_it_is():
    assert look_up("item.turns", VALUES) is VALUES["item"]["turns"]
