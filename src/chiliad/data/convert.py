"""Rows of a table into examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from chiliad.data.columns import Columns
from chiliad.data.conversation import split_conversation
from chiliad.data.example import Example, Message
from chiliad.data.table import ROW_CHARS_MAX, Table, cell_text
from chiliad.errors import UnreadableFile

Read = TypeVar("Read")


def to_examples(table: Table, columns: Columns) -> list[Example]:
    """Make one example of every row, in order; rows with a blank input or answer too (they are not `usable`).

    White space around inputs and answers goes. Nested values become compact JSON with sorted keys. Raises
    UnreadableFile with the number of the row that cannot be an example.
    """
    return row_by_row(table, lambda row: _example(row, columns))


def row_by_row(table: Table, read: Callable[[Mapping[str, Any]], Read]) -> list[Read]:
    """What `read` makes of every row. Its ValueError becomes an UnreadableFile with the number of the row."""
    made = []
    for number, row in enumerate(table.rows, start=1):
        try:
            made.append(read(row))
        except (ValueError, RecursionError) as error:  # nested hundreds deep
            place = f"{table.source}, row {number}"
            raise UnreadableFile(f"{place}: {error}.", fix="Mend that row or leave it out.") from error
    return made


def _example(row: Mapping[str, Any], columns: Columns) -> Example:
    if columns.messages:
        messages, answer = split_conversation(row.get(columns.messages))
    else:
        assert columns.output is not None
        messages = (Message("user", _input(row, columns.inputs)),)
        answer = cell_text(row.get(columns.output)).strip()
    if sum(len(turn.content) for turn in messages) + len(answer) > ROW_CHARS_MAX:
        raise ValueError(f"input and answer together are longer than {ROW_CHARS_MAX:,} characters")
    group = cell_text(row.get(columns.group)).strip() if columns.group else ""
    return Example.of(messages, answer, group or None)


def _input(row: Mapping[str, Any], inputs: tuple[str, ...]) -> str:
    texts = {name: cell_text(row.get(name)).strip() for name in inputs}
    if len(inputs) == 1:
        return texts[inputs[0]]
    return "\n".join(f"{name}: {text}" for name, text in texts.items() if text)
