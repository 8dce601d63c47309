import datetime
import decimal

import numpy as np
import pandas as pd
import pytest

from chiliad.data import table_from_frame, table_from_rows
from chiliad.data.table import cell_text
from chiliad.errors import ColumnsNotFound, UnreadableFile, UnusableData


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is ", "as it is "),
        ("two\r\nlines", "two\nlines"),
        (None, ""),
        (float("nan"), ""),
        (True, "true"),
        (7, "7"),
        (7.0, "7"),
        (7.25, "7.25"),
        (np.float32(0.5), "0.5"),
        (np.int64(3), "3"),
        (float("inf"), "Infinity"),
        (decimal.Decimal("1.10"), "1.10"),
        (datetime.datetime(2026, 3, 1), "2026-03-01"),
        (datetime.datetime(2026, 3, 1, 9, 30), "2026-03-01T09:30:00"),
        (datetime.date(2026, 3, 1), "2026-03-01"),
        (datetime.time(0, 0), "00:00:00"),
        ({"b": 1, "a": {"d": None, "c": "ü"}}, '{"a":{"c":"ü","d":null},"b":1}'),
        ([{"z": 1.0, "a": float("nan")}], '[{"a":null,"z":1}]'),
        (np.array(["x", "y"]), '["x","y"]'),
        ((1, 2), "[1,2]"),
    ],
)
def test_cells_as_text(value, text):
    assert cell_text(value) == text


@pytest.mark.parametrize("value", [b"bytes", "half \ud83d", {"key": "half \udc00"}, "zero \0"])
def test_cells_without_text(value):
    with pytest.raises(ValueError, match=r"bytes|half of a character|zero character"):
        cell_text(value)


@pytest.mark.parametrize("name", ["text\0", "text \ud83d"])
def test_a_column_is_called_by_a_text(name):
    with pytest.raises(UnreadableFile, match="the rows has a column 'text"):
        table_from_rows([{"label": "a", name: "b"}])


def test_a_data_frame_keeps_types_and_loses_its_missing_values():
    frame = pd.DataFrame(
        {
            "text": ["a", None],
            "count": [1.0, float("nan")],
            "whole": pd.array([5, None], dtype="Int64"),
            "when": [pd.Timestamp("2026-03-01"), pd.NaT],
            "nested": [{"x": 1}, [1, 2]],
        },
        index=[10, 20],
    )
    table = table_from_frame(frame)
    assert table.columns == ("text", "count", "whole", "when", "nested")
    assert [cell_text(value) for value in table.rows[0].values()] == ["a", "1", "5", "2026-03-01", '{"x":1}']
    assert [cell_text(value) for value in table.rows[1].values()] == ["", "", "", "", "[1,2]"]


def test_columns_of_a_data_frame_become_text_and_must_differ():
    assert table_from_frame(pd.DataFrame([[1, 2]])).columns == ("0", "1")
    with pytest.raises(ColumnsNotFound, match="two columns named 'a'"):
        table_from_frame(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_nothing_is_no_table():
    with pytest.raises(UnusableData, match="no rows"):
        table_from_rows([])
    with pytest.raises(UnusableData, match="no rows"):
        table_from_frame(pd.DataFrame({"a": []}))
