"""Tables that state preferences: TRL's columns, of pairs and of single answers, and OpenAI's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chiliad.data.columns import called, existing
from chiliad.data.conversation import split_conversation
from chiliad.data.convert import row_by_row
from chiliad.data.example import Message
from chiliad.data.preference import Preference
from chiliad.data.table import ROW_CHARS_MAX, Table, cell_text
from chiliad.errors import ColumnsNotFound

PROMPTS = ("prompt", "question", "instruction", "input")
PAIRS = (("chosen", "rejected"), ("preferred_output", "non_preferred_output"))
COMPLETION, LABEL = "completion", "label"
_SAID = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class _Columns:
    """prompt: None where the answers are whole conversations; pair: of the chosen and the rejected answer; thumb: of an
    answer and whether it is good."""

    prompt: str | None
    pair: tuple[str, str] | None
    thumb: tuple[str, str] | None
    group: str | None


def states_preferences(table: Table) -> bool:
    """Whether it has a column of better or worse answers, or prompts, answers and for each whether it is good."""
    if any(called(table.columns, name) for names in PAIRS for name in names):
        return True
    prompt, completion, label = (called(table.columns, name) for name in (PROMPTS[0], COMPLETION, LABEL))
    return bool(prompt and completion and label) and all(_said(row.get(label or "")) is not None for row in table.rows)


def to_preferences(table: Table, *, group: str | None = None) -> list[Preference]:
    """Make a preference of every row, in order.

    Raises ColumnsNotFound, and UnreadableFile with the number of the row that states none.
    """
    columns = _columns(table, group)
    return row_by_row(table, lambda row: _preference(row, columns))


def _columns(table: Table, group: str | None) -> _Columns:
    grouped = existing(table, group) if group else None
    free = [name for name in table.columns if name != grouped]
    prompt = next((column for name in PROMPTS if (column := called(free, name))), None)
    for better, worse in PAIRS:
        chosen, rejected = called(free, better), called(free, worse)
        if chosen and rejected:
            return _Columns(prompt, (chosen, rejected), None, grouped)
        if chosen or rejected:
            raise ColumnsNotFound(
                f"{table.source} has the column {chosen or rejected!r}, but not {worse if chosen else better!r}.",
                fix="Give both, or learn single answers as examples: name their columns with --input and --output.",
            )
    completion, label = called(free, COMPLETION), called(free, LABEL)
    if prompt is None or completion is None or label is None:
        raise ColumnsNotFound(
            f"{table.source} states no preferences. It has: {', '.join(map(repr, table.columns[:20]))}.",
            fix="Name the columns prompt, chosen and rejected; or prompt, completion and label, which is true or false.",
        )
    return _Columns(prompt, None, (completion, label), grouped)


def _preference(row: Mapping[str, Any], columns: _Columns) -> Preference:
    prompt = _prompt(row.get(columns.prompt)) if columns.prompt else ()
    if columns.pair:
        before, chosen = _answer(row.get(columns.pair[0]), columns.pair[0])
        other, rejected = _answer(row.get(columns.pair[1]), columns.pair[1])
        if before != other:
            raise ValueError(f"{columns.pair[0]} and {columns.pair[1]} answer different conversations")
        if chosen == rejected:
            raise ValueError(f"{columns.pair[0]} and {columns.pair[1]} are the same answer, so neither is better")
        sides: tuple[str | None, str | None] = (chosen, rejected)
    else:
        assert columns.thumb is not None
        before, answer = _answer(row.get(columns.thumb[0]), columns.thumb[0])
        good = _said(row.get(columns.thumb[1]))
        if good is None:
            raise ValueError(f"{columns.thumb[1]} is {str(row.get(columns.thumb[1]))[:40]!r}, neither true nor false")
        sides = (answer, None) if good else (None, answer)
    turns = before or prompt
    if not any(turn.role == "user" and turn.content.strip() for turn in turns):
        raise ValueError("there is no prompt")
    if sum(len(text) for text in (*sides, *(turn.content for turn in turns)) if text) > ROW_CHARS_MAX:
        raise ValueError(f"prompt and answers together are longer than {ROW_CHARS_MAX:,} characters")
    group = cell_text(row.get(columns.group)).strip() if columns.group else ""
    return Preference.of(turns, *sides, group or None)


def _prompt(value: Any) -> tuple[Message, ...]:
    """A text, a list of messages, or OpenAI's object with one."""
    if isinstance(value, Mapping):
        if value.get("tools"):
            raise ValueError("the prompt has tools; experts learn from text only")
        value = value.get("messages")
    if isinstance(value, list):
        return split_conversation([*value, {"role": "assistant", "content": ""}])[0]
    return (Message("user", cell_text(value).strip()),)


def _answer(value: Any, column: str) -> tuple[tuple[Message, ...], str]:
    """What stands before it, if the cell is a conversation, and the answer."""
    before, answer = split_conversation(value) if isinstance(value, list) and value else ((), cell_text(value).strip())
    if not answer:
        raise ValueError(f"{column} is empty")
    return before, answer


def _said(value: Any) -> bool | None:
    """Whether a cell says true or false."""
    return _SAID.get(str(value).strip().casefold().removesuffix(".0"))
