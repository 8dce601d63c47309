"""A user's scorer file: it is used as written, and a bad one ends in an error that says what to write."""

import pytest

from chiliad.errors import ConfigError
from chiliad.metrics import load_scorer


@pytest.fixture
def scorer_file(tmp_path):
    def write(source):
        path = tmp_path / "politeness.py"
        path.write_text(source)
        return path

    return write


def test_the_users_function_sees_prediction_reference_and_input(scorer_file):
    path = scorer_file(
        "def score(prediction, reference, input):\n    return (prediction == reference) * 0.5 + ('?' in input) * 0.5\n"
    )
    scores = load_scorer(path).scores(["a", "b"], ["a", "c"], ["what?", "what"])
    assert (scores.name, scores.per_example, scores.value) == ("politeness", (1.0, 0.0), 0.5)


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("x = 1", "no function named score"),
        ("score = 3", "no function named score"),
        ("def score(:", "SyntaxError"),
        ("import a_module_that_is_not_there", "ModuleNotFoundError"),
    ],
)
def test_a_file_without_a_scorer_is_refused(scorer_file, source, cause):
    with pytest.raises(ConfigError, match=cause):
        load_scorer(scorer_file(source))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no scorer file"):
        load_scorer(tmp_path / "nowhere.py")


@pytest.mark.parametrize(
    ("body", "cause"),
    [("2", "returned 2"), ("-1", "returned -1"), ("float('nan')", "nan"), ("'x'", "ValueError"), ("1 / 0", "ZeroDiv")],
)
def test_a_score_that_is_no_score_is_refused(scorer_file, body, cause):
    scorer = load_scorer(scorer_file(f"def score(prediction, reference, input):\n    return {body}\n"))
    with pytest.raises(ConfigError, match=cause):
        scorer.scores(["a"], ["a"], ["a"])
