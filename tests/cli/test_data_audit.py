"""`chiliad data audit`: on a file alone, beside a test file, by time, and beside the experts of a workspace."""

import json
from pathlib import Path

from tests.tiny import ROWS, write_table

WRONG = ("money back for 99", "damage")


def test_people_are_shown_what_is_in_doubt(chiliad, tmp_path):
    table = write_table(tmp_path / "t.csv", [*ROWS, WRONG, ("hello there", "status"), ("Hello  there", "refund")])
    shown = chiliad("data", "audit", table)
    assert shown.code == 0, shown.err
    line = next(line for line in shown.out.splitlines() if "money back for 99" in line)
    assert [cell.strip() for cell in line.split("│")[1:4]] == ["73", "damage", "refund"]
    assert "Same input, different answers: 1 inputs." in shown.out
    assert "74, 75" in shown.out
    assert not Path("ws").exists()  # looking makes nothing


def test_programs_get_one_json_object_without_any_text(chiliad, tmp_path):
    table = write_table(tmp_path / "t.csv", [*ROWS, WRONG])
    test = write_table(tmp_path / "test.csv", [("WHERE is box 3", "status"), ("something else", "damage")])
    report = json.loads(chiliad("data", "audit", table, "--test", test, "--json").out)
    assert report["doubts"]["found"][0]["row"] == 73
    assert report["doubts"]["found"][0]["likely"] == "refund"
    assert {"held": 1, "learned": 4, "share": 1.0} in report["test_leaks"]
    assert report["separate"]
    assert "money" not in json.dumps(report)


def test_rows_that_another_expert_learned_from(chiliad, live, tmp_path):
    test = write_table(tmp_path / "test.csv", ROWS[:30])
    table = write_table(tmp_path / "t.csv", [(f"a letter about {n} and more", f"kind {n % 3}") for n in range(40)])
    (overlap,) = json.loads(chiliad("data", "audit", table, "--test", test, "--json").out)["overlaps"]
    assert overlap["expert"] == "tickets"
    assert len(overlap["exact"]) >= 15


def test_a_split_by_time_is_written_and_can_be_trained_on(chiliad, tmp_path):
    dated = [(*row, f"2026-{1 + n // 24:02}-01") for n, row in enumerate(ROWS)]
    table = write_table(tmp_path / "t.csv", dated, ("text", "label", "day"))
    named = ("--input", "text", "--output", "label")
    shown = chiliad("data", "audit", table, "--time", "day", *named, "--split-to", "parts", "--json")
    report = json.loads(shown.out)
    assert report["test_rows"] == 24
    assert report["drift"]["by_time"] == 0  # the last label came last
    newest = [json.loads(line) for line in Path("parts/test.jsonl").read_text().splitlines()]
    assert len(newest) == 24
    assert min(row["day"] for row in newest) > max(
        json.loads(line)["day"] for line in Path("parts/train.jsonl").read_text().splitlines()
    )
    assert chiliad("data", "check", "parts/train.jsonl", "--test", "parts/test.jsonl", *named).code == 0


def test_rows_of_rated_answers_keep_the_numbers_of_their_table(chiliad, tmp_path):
    bad = [(f"lid {n} is broken", "go away", False, "2026-12-01") for n in range(3)]
    good = [(*row, True, f"2026-{1 + n % 12:02}-01") for n, row in enumerate([*ROWS, WRONG])]
    table = write_table(tmp_path / "rated.csv", [*bad, *good], ("prompt", "completion", "label", "day"))
    shown = chiliad("data", "audit", table)
    line = next(line for line in shown.out.splitlines() if "money back for 99" in line)
    assert [cell.strip() for cell in line.split("│")[1:4]] == ["76", "damage", "refund"]
    report = json.loads(chiliad("data", "audit", table, "--time", "day", "--json").out)
    assert [doubt["row"] for doubt in report["doubts"]["found"]] == [76]
    assert report["test_rows"] == 24  # six good ones of each of the last four days


def test_people_are_shown_what_was_found_among_chosen_answers(chiliad, tmp_path):
    rows = [(f"write to {n}", f"Dear {n}", f"hey {n}") for n in range(30)]
    pairs = write_table(
        tmp_path / "pairs.csv", [*rows, ("Write to 7", "Hello 7", "hey 7")], ("prompt", "chosen", "rejected")
    )
    shown = chiliad("data", "audit", pairs)
    assert shown.code == 0, shown.err
    assert "Same input, different answers: 1 inputs." in shown.out
    line = next(line for line in shown.out.splitlines() if "write to 7" in line)
    assert line.split("│")[1].strip() == "8, 31"


def test_what_cannot_be_audited_is_said(chiliad, tmp_path):
    table = write_table(tmp_path / "t.csv")
    chiliad("data", "audit", table, "--time", "when").refused("no column 'when'")
    chiliad("data", "audit", table, "--time", "text", "--test", table).refused("Both a test and a column")
    chiliad("data", "audit", table, "--split-to", "x").refused("--split-to", code=2)
