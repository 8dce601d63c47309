"""Collections: a folder of tables with or without a manifest, or one table with a column that names the experts."""

import gzip
import json

import pytest

from chiliad.data import find_columns, members_of, read_collection, table_from_rows
from chiliad.errors import ColumnsNotFound, DataError, UnreadableFile, UnusableData

ROWS = [{"text": "where is it", "label": "status"}, {"text": "money back", "label": "refund"}]


def _write(path, rows=ROWS):
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(rows[0])
    lines = [",".join(names), *(",".join(str(row[name]) for name in names) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def _lots(members):
    return {member.label: member.read() for member in members}


def test_a_folder_is_an_expert_for_each_file_and_a_family_for_each_subfolder(tmp_path):
    _write(tmp_path / "desk" / "tickets.csv")
    _write(tmp_path / "tone.csv")
    with gzip.open(tmp_path / "desk" / "v2.orders.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "README.md").write_text("What lies here.")
    (tmp_path / ".hidden.csv").write_text("a,b\n")
    lots = _lots(read_collection(tmp_path))
    assert {label: lot.family for label, lot in lots.items()} == {"tickets": "desk", "v2.orders": "desk", "tone": None}
    assert all(lot.train.rows == ROWS and lot.test is None for lot in lots.values())


def test_a_manifest_says_what_each_expert_is_for(tmp_path):
    _write(tmp_path / "a.csv")
    _write(tmp_path / "b.csv")
    told = [
        {"expert": "a", "instruction": "Sort the message.", "family": "desk"},
        {"expert": "b.csv", "instruction": "", "family": "other"},
        {"expert": "lost", "instruction": "", "family": ""},
    ]
    _write(tmp_path / "manifest.csv", told)
    members = {member.label: member for member in read_collection(tmp_path)}
    assert (members["a"].read().instruction, members["a"].read().family) == ("Sort the message.", "desk")
    assert (members["b"].read().instruction, members["b"].read().family) == (None, "other")
    with pytest.raises(UnreadableFile, match="no such file"):
        members["lost"].read()


def test_a_table_is_divided_by_its_column_expert():
    rows = [
        {"expert": "a", "instruction": "Sort it.", "family": "desk", "split": "train", **ROWS[0]},
        {"expert": "b", "instruction": "First way.", "family": "desk", "split": "", **ROWS[0]},
        {"expert": "a", "instruction": "Sort it.", "family": "desk", "split": "TEST", **ROWS[1]},
        {"expert": "b", "instruction": "Second way.", "family": "desk", "split": "train", **ROWS[1]},
    ]
    lots = _lots(members_of(table_from_rows(rows)))
    assert (lots["a"].instruction, lots["a"].family) == ("Sort it.", "desk")
    assert (lots["a"].train.rows, lots["a"].test.rows) == ([ROWS[0]], [ROWS[1]])
    assert lots["b"].instruction is None, "what differs from row to row is part of the input"
    assert lots["b"].train.columns == ("instruction", "text", "label")
    assert lots["b"].test is None
    assert find_columns(lots["a"].train).inputs == ("text",)


@pytest.mark.parametrize(
    ("rows", "error", "match"),
    [
        (ROWS, ColumnsNotFound, "no column 'expert'"),
        ([{"expert": " ", **ROWS[0]}], UnusableData, "is empty"),
        ([{"expert": "a\ud800", **ROWS[0]}], UnreadableFile, "half of a character"),
    ],
)
def test_a_table_that_names_no_experts_says_so(rows, error, match):
    with pytest.raises(error, match=match):
        members_of(table_from_rows(rows))


def test_what_is_wrong_with_one_table_is_told_when_that_is_read(tmp_path):
    _write(tmp_path / "good.csv")
    _write(tmp_path / "half.csv", [{**ROWS[0], "split": "valid"}])
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "notes.docx").write_bytes(b"PK")
    members = {member.label: member for member in read_collection(tmp_path)}
    assert members.pop("good").read().train.rows == ROWS
    assert members.keys() == {"half", "empty", "notes"}
    for member in members.values():
        with pytest.raises(DataError):
            member.read()


def test_a_folder_without_tables_or_with_a_strange_manifest_is_refused(tmp_path):
    with pytest.raises(UnusableData, match="no tables"):
        read_collection(tmp_path)
    _write(tmp_path / "a.csv")
    _write(tmp_path / "manifest.csv")
    with pytest.raises(ColumnsNotFound, match="no column 'expert'"):
        read_collection(tmp_path)
    _write(tmp_path / "manifest.tsv")
    with pytest.raises(UnreadableFile, match="2 manifests"):
        read_collection(tmp_path)
