"""A table: named columns and rows, whatever kind of file or object it came from."""

from __future__ import annotations

import datetime
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chiliad.errors import ColumnsNotFound, UnreadableFile, UnusableData

ROW_CHARS_MAX = 1_000_000
"""one row longer than this is an error: no base model reads so much, and it is mostly a quote left open"""
CELLS_MAX = 20_000_000
"""of a whole table, those that are empty included: some gigabytes. A few bytes of a file can stand for a million cells"""

COLUMNS_MAX = 16_384
"""what a sheet of Excel has"""


@dataclass(frozen=True)
class Table:
    """Rows as they were read. A row may lack a column. Row numbers in messages count data rows from 1."""

    columns: tuple[str, ...]
    rows: list[dict[str, Any]]
    source: str


def table_from_rows(rows: Iterable[Mapping[str, Any]], source: str = "the rows") -> Table:
    """Make a table of mappings; its columns are all their keys in the order of first appearance.

    Raises UnusableData when there are none, UnreadableFile when there are too many.
    """
    own: list[dict[str, Any]] = []
    cells = 0
    for row in rows:
        own.append(dict(row))
        cells += max(1, len(row))
        if cells > CELLS_MAX:
            raise too_many_cells(source)
    if not own:
        raise empty(source)
    columns = tuple(dict.fromkeys(key for row in own for key in row))
    _check_columns(columns, source)
    return Table(columns, own, source)


def table_from_frame(frame: Any, source: str = "the data frame") -> Table:
    """Make a table of a pandas DataFrame (pandas itself is not imported). NaN, NaT and NA become None."""
    names = [str(name) for name in frame.columns]
    _check_names(names, source)
    if not len(frame):
        raise empty(source)
    plain = frame.astype(object).where(frame.notna(), None)
    rows = [dict(zip(names, values, strict=True)) for values in plain.itertuples(index=False, name=None)]
    return Table(tuple(names), rows, source)


def table_from_grid(grid: Iterable[tuple[int, Sequence[Any]]], source: str, unit: str) -> Table:
    """Make a table of numbered lines of cells, the first that is not blank being the column names.

    Blank lines are left out. `unit` is what the numbers count ("line", "row"), for messages. Raises UnreadableFile
    for a line with more cells than names, ColumnsNotFound for a name given twice, UnusableData without any data.
    """
    lines = ((number, _trimmed(cells)) for number, cells in grid)
    filled = ((number, cells) for number, cells in lines if cells)
    _, header = next(filled, (0, []))
    names = [cell_text(cell).strip() or f"unnamed {place}" for place, cell in enumerate(header, start=1)]
    _check_names(names, source)
    rows: list[dict[str, Any]] = []
    for number, cells in filled:
        if len(cells) > len(names):
            raise UnreadableFile(
                f"{source}, {unit} {number}: {len(cells)} cells, but there are {len(names)} column names.",
                fix="Put quotes around text that contains the delimiter, and give every column a name.",
            )
        if (len(rows) + 1) * len(names) > CELLS_MAX:
            raise too_many_cells(source)
        rows.append(dict.fromkeys(names) | dict(zip(names, cells, strict=False)))
    if not rows:
        raise empty(source)
    return Table(tuple(names), rows, source)


def cell_text(value: Any) -> str:
    """Return a cell as text: nothing for a missing one, compact JSON with sorted keys for a nested one.

    A whole number that a spreadsheet keeps as a float loses its ".0", a date its midnight. Raises ValueError for
    what has no text: bytes, and text with half a character or a zero character in it.
    """
    if isinstance(value, str):
        return _checked(value)
    plain = _plain(value)
    if plain is None:
        return ""
    if isinstance(plain, str):
        return _checked(plain)
    return _checked(json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":")))


def empty(source: str) -> UnusableData:
    """The error for a source without a single row."""
    return UnusableData(
        f"{source} has no rows.", fix="Give a table with column names and one example a row, such as: input,output."
    )


def _check_columns(names: Sequence[str], source: str) -> None:
    if len(names) > COLUMNS_MAX:
        raise UnreadableFile(
            f"{source} has more than {COLUMNS_MAX:,} columns.", fix="Give the columns that an expert is to learn from."
        )
    for name in names:
        try:
            cell_text(name)
        except ValueError as error:
            raise UnreadableFile(f"{source} has a column {name!r}: {error}.", fix="Rename or remove it.") from error


def too_many_cells(source: str) -> UnreadableFile:
    return UnreadableFile(
        f"{source} has more than {CELLS_MAX:,} cells.",
        fix="Give a part of it: an expert learns from thousands of rows, not from millions.",
    )


def _plain(value: Any) -> Any:
    """Reduce a value of any reader to what JSON knows."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        raise ValueError("a cell holds bytes, not text")
    if isinstance(value, datetime.datetime) and value.timetz() == datetime.time.min:
        return value.date().isoformat()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if hasattr(value, "tolist"):  # a NumPy array or scalar
        return _plain(value.tolist())
    return str(value)


def _number(value: float) -> float | int | None:
    if math.isnan(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _checked(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"character {error.start} is half of a character (a lone surrogate)") from error
    if (place := text.find("\0")) >= 0:
        raise ValueError(f"character {place} is a zero character, which is no text")
    return text.replace("\r\n", "\n")


def _trimmed(cells: Sequence[Any]) -> list[Any]:
    """Drop the blank cells at the end, which spreadsheets like to write."""
    kept = list(cells)
    while kept and (kept[-1] is None or (isinstance(kept[-1], str) and not kept[-1].strip())):
        kept.pop()
    return kept


def _check_names(names: Sequence[str], source: str) -> None:
    _check_columns(names, source)
    counted = Counter(names)
    twice = next((name for name in names if counted[name] > 1), None)
    if twice is not None:
        raise ColumnsNotFound(f"{source} has two columns named {twice!r}.", fix="Rename one of them.")
