"""What a user may give as data, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chiliad.data import Table, read_table, table_from_frame, table_from_rows

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


def source_of(data: Data) -> str:
    """A name for people. One that is not UTF-8, which a file system may well have, is written as far as it is."""
    if isinstance(data, Table):
        name = data.source
    else:
        name = Path(data).name if isinstance(data, str | Path) else type(data).__name__
    return name.encode("utf-8", "replace").decode()
