"""`chiliad train` and `chiliad correct`: what they print, write and make live."""

import json
import re

import pytest

from tests.cli.conftest import FAST, contents
from tests.tiny import ROWS, write_table

GOOD = ("--base", "tiny", "--rank", "4", "--epochs", "30", "--learning-rate", "0.02", "--no-baselines")
"""options with which the tiny base learns the table by heart"""


def test_a_first_training_says_what_came_of_it_and_how_to_go_on(chiliad, table):
    done = chiliad("train", "tickets", "--data", table, *FAST)
    assert done.code == 0, done.err
    assert re.search(
        r"^tickets@1: 41 rows, 1 epochs, \d+ s of training \(\d+ tokens/s\), lora, \d+\.\d kB$", done.out, re.M
    )
    assert done.out.endswith('It is live. Try: chiliad ask tickets "..."\n')
    assert "dev loss" in done.err
    assert chiliad("ask", "tickets", "where is box 77").code == 0


def test_one_json_object_for_programs(chiliad, table):
    told = json.loads(chiliad("train", "tickets", "--data", table, *FAST, "--json").out)
    assert told["expert"] == "tickets@1"
    assert told["live"] is True
    assert (told["card"], told["comparison"], told["refusal"]) == (None, None, None)
    assert told["training"]["rows"] == 41
    again = json.loads(chiliad("train", "tickets", "--data", table, *FAST, "--seed", "1", "--json").out)
    assert again["expert"] == "tickets@2"
    assert again["comparison"]["live"] == 1


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(chiliad, table, live):
    before = contents(live)
    planned = chiliad("train", "new", "--data", table, *FAST, "--dry-run")
    assert planned.code == 0, planned.err
    words = {line.split()[0] for line in planned.out.splitlines()}
    assert {"Rows", "Answers", "Settings", "Tokens", "Time"} <= words
    assert "41 for training, 10 dev, 21 test" in planned.out
    assert planned.out.endswith("Nothing was written.\n")
    assert contents(live) == before
    elsewhere = chiliad("train", "new", "--data", table, *FAST, "--dry-run", "-w", live.parent / "none")
    assert elsewhere.code == 0, elsewhere.err
    assert not (live.parent / "none").exists()
    chiliad("train", "Bad Name", "--data", table, *FAST, "--dry-run").refused("cannot be the name")


def test_a_dry_run_says_what_continuing_from_a_version_takes_from_it(chiliad, table, tmp_path):
    first = ("--base", "tiny", "--rank", "3", "--base-precision", "int4", "--epochs", "1", "--no-baselines")
    assert chiliad("train", "first", "--data", table, *first).code == 0
    rows = [(f"{text} please", label) for text, label in ROWS]
    more = ("--data", write_table(tmp_path / "more.csv", rows), "--from", "first@1", "--no-baselines")
    planned = chiliad("train", "next", *more, "--dry-run")
    assert "lora of rank 3, at most 3 epochs" in planned.out, planned.err
    assert "base in int4" in planned.out
    trained = json.loads(chiliad("train", "next", *more, "--json").out)["training"]
    assert (trained["rank"], trained["epochs"], trained["base_precision"]) == (3, 3, "int4")


def test_the_base_may_be_kept_in_codes(chiliad, table):
    planned = chiliad("train", "new", "--data", table, *FAST, "--base-precision", "int4", "--dry-run")
    assert "base in int4" in planned.out, planned.err
    refused = chiliad("train", "new", "--data", table, *FAST, "--base-precision", "int3", "--dry-run")
    assert refused.code == 2
    assert "int3" in refused.err


def test_columns_and_test_rows_are_those_that_are_named(chiliad, tmp_path):
    rows = [(label, f"c{n // 2}", text) for n, (text, label) in enumerate(ROWS)]
    data = write_table(tmp_path / "a.csv", rows, ("b", "c", "a"))
    test = write_table(tmp_path / "b.csv", [("status", "x", f"where is lid {n}") for n in range(9)], ("b", "c", "a"))
    named = ("--input", "a", "--output", "b", "--group", "c", "--test", test)
    planned = chiliad("train", "new", "--data", data, *named, *FAST, "--dry-run")
    assert "9 test" in planned.out, planned.err
    chiliad("train", "new", "--data", data, "--input", "z", "--output", "b", *FAST).refused("no column 'z'")


def test_preferences_continue_an_expert_that_is_named(chiliad, live, tmp_path):
    rows = [(f"where is bag {n}", "status", "refund") for n in range(15)]
    rows += [(f"money for {n}", "refund", "status") for n in range(15)]
    data = write_table(tmp_path / "pairs.csv", rows, header=("prompt", "chosen", "rejected"))
    start = ("--data", data, "--from", "tickets@1", "--epochs", "1", "--no-baselines")
    planned = chiliad("train", "polite", *start, "--dry-run")
    assert planned.out.startswith("DPO       "), planned.err
    done = chiliad("train", "polite", *start, "--beta", "0.3", "--json")
    told = json.loads(done.out)["training"]
    assert (told["method"], told["beta"], told["continued_from"]) == ("dpo", 0.3, "tickets@1")
    again = chiliad("train", "polite", "--data", data, "--method", "kto", "--epochs", "1", "--no-baselines")
    assert re.search(
        r"^Of \d+ preferences held out, training moved [\d.]+ % the way that they point\.$", again.out, re.M
    )
    assert "preferred" in again.err
    chiliad("train", "polite", "--data", data, "--from", "nobody").refused("nobody")
    rated = write_table(tmp_path / "rated.csv", [(a, b, "true") for a, b, _ in rows], ("prompt", "completion", "label"))
    chiliad("train", "rated", "--data", rated, "--base", "tiny").refused("All 30 answers are rated good")


def test_a_worse_version_is_kept_but_not_live_and_ends_as_an_error(chiliad, tmp_path, table):
    assert chiliad("train", "tickets", "--data", table, *GOOD).code == 0
    other = {"status": "refund", "refund": "damage", "damage": "status"}
    poison = write_table(tmp_path / "poison.csv", [(text, other[label]) for text, label in ROWS])
    refused = chiliad("correct", "tickets", "--data", poison, "--json")
    refused.refused("significantly worse")
    told = json.loads(refused.out)
    assert told["live"] is False
    assert told["comparison"]["p_value"] < 0.05
    assert told["refusal"] in refused.err
    assert json.loads(chiliad("ask", "tickets", "where is box 3", "--json").out)["expert"] == "tickets@1"
    chiliad("experts", "promote", "tickets@2").refused("significantly worse")
    assert chiliad("experts", "promote", "tickets@2", "--force").code == 0
    assert "promote tickets@2 (forced)" in chiliad("experts", "show", "tickets").out
    assert chiliad("experts", "rollback", "tickets").out == "tickets@1 is live again.\n"


@pytest.mark.parametrize("name", ["Bad Name", "../evil", "tickets@2", "tiny", "base", "x" * 65, ""])
def test_a_name_that_no_expert_can_have(chiliad, table, tmp_path, name):
    chiliad("train", name, "--data", table, *FAST).refused("cannot be the name|is taken")
    assert not list((tmp_path / "ws").glob("datasets/*"))


def test_corrections_need_an_expert_with_examples(chiliad, live, tmp_path):
    fixed = write_table(tmp_path / "fixed.csv", [("lid 3 is loose", "damage")])
    chiliad("correct", "nobody", "--data", fixed).refused("no expert 'nobody'")
    chiliad("correct", "tickets", "--data", tmp_path / "missing.csv").refused("cannot be read")
