"""CSV and its relatives: cells separated by commas, semicolons, tabs or bars."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

from chiliad.data.decode import read_text
from chiliad.data.table import ROW_CHARS_MAX, Table, table_from_grid
from chiliad.errors import UnreadableFile

DELIMITERS = (",", ";", "\t", "|")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_LOOK_AT_ROWS = 50
_LOOK_AT_CHARS = 100_000


def read_delimited(path: Path) -> Table:
    """Read a CSV or TSV file; which delimiter it uses is found out. Raises DataError.

    Tabs come with two conventions: when quotes do not work out as CSV quotes, they are ordinary characters.
    """
    csv.field_size_limit(max(csv.field_size_limit(), ROW_CHARS_MAX))  # the module's own limit is for the whole process
    text = read_text(path)
    delimiter = find_delimiter(text[:_LOOK_AT_CHARS])
    try:
        return table_from_grid(_lines(text, delimiter, path.name), path.name, "line")
    except _BadQuote:
        if delimiter != "\t":
            raise
        return table_from_grid(_lines(text, delimiter, path.name, quoting=csv.QUOTE_NONE), path.name, "line")


def find_delimiter(text: str) -> str:
    """Return the delimiter that cuts the first rows most evenly into two or more cells, a comma if none does."""
    best = max(DELIMITERS, key=lambda delimiter: _evenness(text, delimiter))
    return best if _evenness(text, best) > (0, 0) else ","


class _BadQuote(UnreadableFile):
    """Quotes are not used as CSV uses them."""


def _evenness(text: str, delimiter: str) -> tuple[float, int]:
    """The share of rows as wide as the header, and that width; nothing when the header is a single cell."""
    reader = csv.reader(_cut(text), delimiter=delimiter)
    try:
        widths = [len(cells) for cells in islice(reader, _LOOK_AT_ROWS) if cells]
    except csv.Error:
        return 0, 0
    if not widths or widths[0] < 2:
        return 0, 0
    return widths.count(widths[0]) / len(widths), widths[0]


def _lines(
    text: str, delimiter: str, name: str, *, quoting: Literal[0, 3] = csv.QUOTE_MINIMAL
) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the number of the line on which it begins."""
    reader = csv.reader(_cut(text), delimiter=delimiter, quoting=quoting, strict=True)
    begins = 1
    try:
        for cells in reader:
            if sum(map(len, cells)) > ROW_CHARS_MAX:
                raise _too_long(name, begins)
            yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        if "field limit" in str(error):
            raise _too_long(name, begins) from error
        raise _BadQuote(
            f"{name}, in the row that begins on line {begins}: a quote is not closed or not doubled ({error}).",
            fix='Text with quotes or delimiters is written in quotes, and a quote inside it twice: "She said ""hi""".',
        ) from error


def _cut(text: str) -> Iterator[str]:
    """Cut the text after its newlines, of whatever kind, and nowhere else."""
    return (match.group() for match in _LINE.finditer(text))


def _too_long(name: str, line: int) -> UnreadableFile:
    return UnreadableFile(
        f"{name}: the row that begins on line {line} is longer than {ROW_CHARS_MAX:,} characters.",
        fix="Shorten it, or close the quote that was opened there.",
    )
