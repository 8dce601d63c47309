import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chiliad.cli.main import app
from chiliad.errors import ColumnsNotFound, DataError, UnreadableFile, UnusableData

ROWS = [(f"Where is parcel {n}?", "delivery") for n in range(30)] + [
    (f"Money back for {n}", "refund") for n in range(30)
]


@pytest.fixture(autouse=True)
def _own_machine(tmp_path, monkeypatch):
    """No base model in the cache and no settings file."""
    monkeypatch.setenv("CHILIAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def write(name, rows, header=("text", "label")):
    Path(name).write_text("".join(",".join(row) + "\n" for row in (header, *rows)), "utf-8")
    return name


def run(*arguments):
    return CliRunner().invoke(app, ["data", "check", *arguments])


def test_a_table_for_people():
    result = run(write("tickets.csv", [*ROWS, ROWS[0], ("", "refund"), ("I am jan@example.org", "refund")]))
    assert result.exit_code == 0, result.exception
    lines = {line.split("│")[1].strip(): line.split("│")[2:4] for line in result.stdout.splitlines() if "│" in line}
    assert lines["all"][0].strip() == "63"
    assert lines["usable · task: labels"][0].strip() == "62"
    assert [cell.strip() for cell in lines["repeated exactly"]] == ["1", "61"]
    assert [cell.strip() for cell in lines["likely personal data: email"]] == ["1", "63"]
    assert lines["refund"][0].strip() == "31"
    assert "jan@" not in result.stdout
    assert "Split: " in result.stdout
    assert [path.name for path in Path().iterdir()] == ["tickets.csv"]  # checking writes nothing


def test_one_json_object_for_machines():
    test = write("test.csv", [("where is PARCEL 3?", "delivery"), ("Hello", "greeting")])
    result = run(write("tickets.csv", ROWS), "--test", test, "--json")
    assert result.exit_code == 0, result.exception
    report = json.loads(result.stdout)
    assert report["file"] == "tickets.csv"
    assert report["columns"] == {"messages": None, "input": ["text"], "output": "label", "group": None}
    assert report["overlap"] == {"count": 1, "rows": [4]}
    assert report["labels_unseen"] == ["greeting"]
    assert report["dataset"]["test"] == 2
    assert report["tokens_max"] == 2048
    assert report["tokens_estimated"] is True


def test_the_same_file_has_the_same_dataset():
    first, again = (json.loads(run(write(name, ROWS), "--json").stdout) for name in ("a.csv", "b.csv"))
    assert first["dataset"] == again["dataset"]


def test_columns_by_name():
    name = write("t.csv", [(text, label, f"c{n // 3}") for n, (text, label) in enumerate(ROWS)], ("a", "b", "c"))
    result = run(name, "--input", "a", "--input", "C", "--output", "B", "--group", "c")
    assert "input: a + c · answer: b · group: c" in result.stdout


def test_labels_with_brackets_are_shown_as_they_are():
    result = run(write("tickets.csv", [*ROWS, *[(f"text {n}", "[bold]urgent[/bold] :fire:") for n in range(20)]]))
    assert "[bold]urgent[/bold] :fire:" in result.stdout


@pytest.mark.parametrize(
    ("rows", "header", "error"),
    [
        (ROWS, ("a", "label"), None),
        (ROWS[:30], ("text", "label"), UnusableData),
        (ROWS[25:35], ("text", "label"), UnusableData),
        ([], ("text", "label"), UnusableData),
        ([(*row, "x") for row in ROWS], ("a", "b", "c"), ColumnsNotFound),
        ([(*row, "x") for row in ROWS], ("a", "b"), UnreadableFile),
    ],
)
def test_bad_data_ends_in_one_error_and_a_failing_exit(rows, header, error):
    result = run(write("tickets.csv", rows, header))
    if error is None:
        assert result.exit_code == 0
    else:
        assert result.exit_code != 0
        assert isinstance(result.exception, error)
        assert isinstance(result.exception, DataError)


def test_an_unusable_file_is_reported_before_it_fails():
    result = run(write("tickets.csv", ROWS[:30]), "--json")
    assert result.exit_code != 0
    assert json.loads(result.stdout)["problem"]["cause"] == result.exception.cause


def test_the_test_file_is_read_by_the_columns_of_the_data():
    test = write("test.csv", [("a hint", "Hello", "refund")], ("question", "text", "label"))
    report = json.loads(run(write("tickets.csv", ROWS), "--test", test, "--json").stdout)
    assert report["labels_unseen"] == []
    test = write("test.csv", [("Hello", "refund")], ("question", "answer"))
    assert isinstance(run("tickets.csv", "--test", test).exception, ColumnsNotFound)
