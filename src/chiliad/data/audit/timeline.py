"""A split by time: what is newest is the test, because that is what an expert will meet."""

from __future__ import annotations

import datetime
import math
from contextlib import suppress
from dataclasses import dataclass

from chiliad.data.split import test_rows
from chiliad.data.table import Table, cell_text
from chiliad.errors import ColumnsNotFound, UnusableData


@dataclass(frozen=True)
class TimeSplit:
    """Numbers of rows, counted from 1. cut: when the test begins, as the table writes it."""

    older: tuple[int, ...]
    newer: tuple[int, ...]
    cut: str


def time_split(table: Table, column: str) -> TimeSplit:
    """The newest rows are the test, as many as a split by chance would take; rows of one moment stay together.

    Raises ColumnsNotFound, and UnusableData when a cell is no time or all of them are one moment.
    """
    if column not in table.columns:
        raise ColumnsNotFound(
            f"{table.source} has no column {column!r}.", fix=f"It has: {', '.join(map(repr, table.columns))}."
        )
    cells = {number: cell_text(row.get(column)).strip() for number, row in enumerate(table.rows, start=1)}
    times = {number: _seconds(cell, f"{table.source}, row {number}") for number, cell in cells.items()}
    begin = sorted(times.values())[-max(1, test_rows(len(times)))]
    older, newer = (tuple(n for n, time in times.items() if (time >= begin) is new) for new in (False, True))
    if not older:
        raise UnusableData(
            f"No row of {table.source} is older than the rows that would be its test.",
            fix=f"Check that {column!r} is the right column, or let chance divide the rows.",
        )
    return TimeSplit(older, newer, cells[min(newer, key=lambda number: times[number])])


def _seconds(cell: str, where: str) -> float:
    """A number as it is; a date or time in ISO 8601, in UTC unless it says otherwise."""
    with suppress(ValueError):
        number = float(cell)
        if math.isfinite(number):
            return number
    try:
        moment = datetime.datetime.fromisoformat(cell)
    except ValueError as error:
        raise UnusableData(
            f"{where}: {cell!r} is no time.", fix="Write times as 2026-11-23, 2026-11-23T18:00:00 or seconds."
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
