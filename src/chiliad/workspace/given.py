"""What a user may give as data, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chiliad.data import (
    Columns,
    Example,
    Table,
    find_columns,
    read_table,
    states_preferences,
    table_from_frame,
    table_from_rows,
    to_examples,
    to_preferences,
)

Data = str | Path | Any
"""a file, a pandas DataFrame, a list of dicts, or a table that was read already"""


def table_of(data: Data) -> Table:
    """Raises DataError."""
    if isinstance(data, Table):
        return data
    if isinstance(data, str | Path):
        return read_table(Path(data))
    if isinstance(data, list):
        return table_from_rows(data)
    return table_from_frame(data)


def examples_of(
    data: Data,
    input: str | Sequence[str] | None,  # noqa: A002 - the word for it everywhere
    output: str | None,
    group: str | None,
) -> tuple[Columns | None, list[Example]]:
    """As `numbered_examples`, without the numbers."""
    columns, examples = numbered_examples(data, input, output, group)
    return columns, list(examples.values())


def numbered_examples(
    data: Data,
    input: str | Sequence[str] | None,  # noqa: A002
    output: str | None,
    group: str | None,
) -> tuple[Columns | None, dict[int, Example]]:
    """The examples by the number of their row, counted from 1, and the columns that they were found in. Raises DataError.

    Of preferences, unless columns are named, they are the answers that were chosen or called good; rows of bad ones have
    none.
    """
    table = table_of(data)
    if not input and not output and states_preferences(table):
        stated = enumerate(to_preferences(table, group=group), start=1)
        return None, {number: one.example for number, one in stated if one.example}
    columns = find_columns(table, input=input, output=output, group=group)
    return columns, dict(enumerate(to_examples(table, columns), start=1))


def source_of(data: Data) -> str:
    """A name for people. One that is not UTF-8, which a file system may well have, is written as far as it is."""
    if isinstance(data, Table):
        name = data.source
    else:
        name = Path(data).name if isinstance(data, str | Path) else type(data).__name__
    return name.encode("utf-8", "replace").decode()
