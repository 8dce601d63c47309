"""`chiliad eval`: a card for people and programs, on the frozen rows or others, with a scorer of one's own."""

import json

import pytest

from tests.cli.conftest import contents
from tests.tiny import ROWS, write_table


def test_the_card_is_printed_and_kept_beside_the_version(chiliad, live, tmp_path):
    done = chiliad("eval", "tickets", "--json", "--out", tmp_path / "cards")
    assert done.code == 0, done.err
    card = json.loads(done.out)
    assert 0 <= card["expert"]["low"] <= card["expert"]["score"] <= card["expert"]["high"] <= 1
    assert {"majority", "zero_shot", "few_shot", "nearest"} <= {row["name"] for row in card["baselines"]}
    written = {path.name for path in (live / "experts" / "tickets" / "1").glob("card.*")}
    assert written == {"card.json", "card.md", "card.html"} == {path.name for path in (tmp_path / "cards").iterdir()}
    before = contents(live / "experts")
    free = chiliad("eval", "tickets@1", "--free").out
    assert "baseline" in free.splitlines()[0]
    assert "# tickets@1" in free
    assert contents(live / "experts") == before, "the card tells how the version answers when it is asked"


def test_other_rows_and_an_own_scorer_leave_the_version_alone(chiliad, live, tmp_path):
    before = contents(live / "experts")
    rows = write_table(tmp_path / "more.csv", [(f"{text} now", label) for text, label in ROWS[:30]])
    scorer = tmp_path / "first_letter.py"
    scorer.write_text("def score(prediction, reference, input):\n    return float(prediction[:1] == reference[:1])\n")
    done = chiliad("eval", "tickets", "--data", rows, "--scorer", scorer, "--json")
    assert done.code == 0, done.err
    card = json.loads(done.out)
    assert card["metric"] == "first_letter"
    assert card["provenance"]["test_rows"] == 30
    assert contents(live / "experts") == before


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (None, "no scorer file"),
        ("def score(:", "does not run: SyntaxError"),
        ("x = 1", "no function named score"),
        ("import sys; sys.exit(3)", "does not run: SystemExit"),
        ("def score(a, b, c): return 1 / 0", "failed: ZeroDivisionError"),
        ("def score(a, b, c): return 7", "returned 7"),
    ],
)
def test_a_scorer_that_is_none(chiliad, live, tmp_path, code, cause):
    scorer = tmp_path / "mine.py"
    if code is not None:
        scorer.write_text(code)
    before = contents(live / "experts")
    chiliad("eval", "tickets", "--scorer", scorer).refused(cause, code=2)
    assert contents(live / "experts") == before


def test_rows_that_cannot_be_scored(chiliad, live, tmp_path):
    chiliad("eval", "nobody").refused("no expert 'nobody'")
    chiliad("eval", "tickets", "--data", tmp_path / "missing.csv").refused("cannot be read")
    other = write_table(tmp_path / "other.csv", ROWS, ("left", "right"))
    chiliad("eval", "tickets", "--data", other, "--input", "up").refused("no column 'up'")
    assert not list(live.glob("experts/tickets/1/card.*"))


def test_a_card_that_cannot_be_written_is_told(chiliad, live, tmp_path):
    (tmp_path / "file").write_text("")
    chiliad("eval", "tickets", "--out", tmp_path / "file" / "cards").refused("file")
