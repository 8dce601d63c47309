"""Fine-tuning files in OpenAI's chat format, where every assistant turn is to be learned unless its weight is 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chiliad.data.columns import MESSAGES, Columns
from chiliad.data.conversation import messages_of
from chiliad.data.convert import to_examples
from chiliad.data.table import Table, table_from_rows
from chiliad.errors import UnreadableFile

CONVERSATION = "conversation"
"""the column that keeps the turns of one conversation on one side of every split"""
_PREFERENCES = ("preferred_output", "non_preferred_output")
_TOOLS = ("tools", "functions")


def learned_turns(table: Table) -> tuple[Table, str | None]:
    """One row for each turn that is to be learned, with the conversation up to it, and the column that groups them.

    A table of prompts and completions comes back as it is. Raises UnreadableFile with the number of a row that is broken,
    calls tools, states a preference, or has nothing to learn.
    """
    for number, row in enumerate(table.rows, start=1):
        _refuse_unknown(row, f"{table.source}, row {number}")
    if MESSAGES not in table.columns:
        return table, None
    to_examples(
        table, Columns((), None, messages=MESSAGES)
    )  # so that what is wrong is told by the file's own row numbers
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(table.rows, start=1):
        turns = messages_of(row[MESSAGES])
        ends = _ends(turns, f"{table.source}, row {number}")
        rows += [{MESSAGES: turns[:end], CONVERSATION: str(number) if len(ends) > 1 else None} for end in ends]
    return table_from_rows(rows, table.source), CONVERSATION


def _refuse_unknown(row: Mapping[str, Any], place: str) -> None:
    if any(row.get(name) for name in _TOOLS):
        raise UnreadableFile(f"{place} has tools; experts learn from text only.", fix="Leave out the rows with tools.")
    if any(name in row for name in _PREFERENCES):
        raise UnreadableFile(
            f"{place} states a preference between two answers, which the method supervised does not learn.",
            fix='Ask for the method dpo, or write the preferred answer as a row {"messages": [...]}.',
        )


def _ends(turns: Sequence[Any], place: str) -> list[int]:
    """Where the conversation up to each learned turn ends."""
    weights = {end: _weight(turn, place) for end, turn in enumerate(turns, start=1) if turn.get("role") == "assistant"}
    learned = [end for end, weight in weights.items() if weight]
    if not learned:
        raise UnreadableFile(
            f"{place}: every assistant message has the weight 0, so there is nothing to learn.",
            fix="Leave that row out, or give one of its answers the weight 1.",
        )
    return learned


def _weight(turn: Mapping[str, Any], place: str) -> bool:
    weight = turn.get("weight", 1)
    if weight not in (0, 1, None):
        raise UnreadableFile(f"{place}: the weight {weight!r} is neither 0 nor 1.", fix="Give 0 or 1, or no weight.")
    return bool(weight != 0)
