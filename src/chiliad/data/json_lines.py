"""JSON: one object a line, or a whole file that is one array of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chiliad.data.decode import read_text
from chiliad.data.table import ROW_CHARS_MAX, Table, empty, table_from_rows
from chiliad.errors import UnreadableFile

LINE_BYTES_MAX = 4 * ROW_CHARS_MAX
"""what the characters of a row may take in UTF-8"""
ARRAY_CHARS_MAX = 64 << 20
"""of a whole file that is one array, which is taken in at once: as objects it may be thirty times as large"""


def read_json_lines(path: Path) -> Table:
    """Read JSONL, or a JSON array of objects. Raises UnreadableFile with the line that is broken."""
    text = read_text(path)
    rows = _from_array if text.lstrip().startswith("[") else _from_lines
    return table_from_rows(rows(text, path.name), path.name)


def check_json_lines(path: Path, name: str) -> int:
    """How many objects a JSONL file in UTF-8 holds, read a line at a time. Raises UnreadableFile, UnusableData."""
    rows = 0
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES_MAX + 1), b""), start=1):
            place = f"{name}, line {number}"
            if len(line) > LINE_BYTES_MAX:
                raise UnreadableFile(
                    f"{place}: longer than {LINE_BYTES_MAX:,} bytes.", fix="Shorten it or leave it out."
                )
            if line.strip():
                _as_object(_parsed(_decoded(line, place), name, number), place)
                rows += 1
    if not rows:
        raise empty(name)
    return rows


def _decoded(line: bytes, place: str) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile(
            f"{place} is not UTF-8: byte 0x{line[error.start]:02X} at position {error.start}.", fix="Save it as UTF-8."
        ) from error


def _from_lines(text: str, name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > ROW_CHARS_MAX:
            raise UnreadableFile(
                f"{name}, line {number}: longer than {ROW_CHARS_MAX:,} characters.", fix="Shorten it or leave it out."
            )
        if line.strip():
            yield _as_object(_parsed(line, name, number), f"{name}, line {number}")


def _from_array(text: str, name: str) -> Iterator[dict[str, Any]]:
    if len(text) > ARRAY_CHARS_MAX:
        cause = f"{name} is one array of more than {ARRAY_CHARS_MAX >> 20} million characters."
        raise UnreadableFile(cause, fix="Write one object a line (JSONL), which is read a line at a time.")
    for number, value in enumerate(_parsed(text, name, 1), start=1):
        yield _as_object(value, f"{name}, element {number}")


def _parsed(text: str, name: str, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UnreadableFile(
            f"{name}, line {line + error.lineno - 1}, character {error.colno}: broken JSON ({error.msg}).",
            fix='Write one complete object a line, such as {"input": "...", "output": "..."}.',
        ) from error
    except (RecursionError, ValueError) as error:  # nested thousands deep, or a number of thousands of digits
        raise UnreadableFile(
            f"{name}, line {line}: JSON that cannot be taken in ({error}).", fix="Mend or leave out that line."
        ) from error


def _as_object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnreadableFile(
            f"{place}: {type(value).__name__} instead of an object.",
            fix='Write one object a line, such as {"input": "...", "output": "..."}.',
        )
    return value
