"""Which columns of a table hold the input, the answer and the group."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from chiliad.data.table import Table
from chiliad.errors import ColumnsNotFound

MESSAGES = "messages"
INPUTS_TOGETHER = (("instruction", "input"), ("context", "question"), ("premise", "hypothesis"))
PAIRS = (
    ("prompt", "completion"),
    ("input", "output"),
    ("text", "label"),
    ("question", "answer"),
    ("prompt", "response"),
    ("instruction", "output"),
    ("instruction", "response"),
)
INPUTS = (
    *("input", "prompt", "question", "text", "query", "instruction", "message", "sentence", "utterance", "request"),
    *("source", "document", "review", "comment", "ticket", "email", "body", "content"),
)
OUTPUTS = (
    *("output", "completion", "answer", "label", "response", "target", "category", "intent", "class", "tag"),
    *("sentiment", "topic", "summary", "translation", "reply", "sql", "expected", "result"),
)
_COUNTERS = ("id", "index", "row", "row_id", "#")


@dataclass(frozen=True)
class Columns:
    """The columns to take examples from: either one of chat messages, or inputs and an output.

    Several inputs are written one below the other as "name: text".
    """

    inputs: tuple[str, ...]
    output: str | None
    messages: str | None = None
    group: str | None = None

    def __str__(self) -> str:
        where = [f"messages: {self.messages}"] if self.messages else []
        where += [f"input: {' + '.join(self.inputs)}", f"answer: {self.output}"] if self.output else []
        where += [f"group: {self.group}"] if self.group else []
        return " · ".join(where)


def find_columns(
    table: Table,
    *,
    input: str | Sequence[str] | None = None,  # noqa: A002  the word for it, here and on the command line
    output: str | None = None,
    group: str | None = None,
) -> Columns:
    """Take the columns that are named, and find the others by well-known names, else by there being just two.

    Names match whatever their case. Raises ColumnsNotFound, which lists the columns that exist and says how to
    name them.
    """
    named = [input] if isinstance(input, str) else list(input or ())
    inputs = tuple(existing(table, name) for name in named)
    answer = existing(table, output) if output else None
    groups = existing(table, group) if group else None
    free = [name for name in table.columns if name not in (*inputs, answer, groups)]
    if not inputs and not answer:
        chat = called(free, MESSAGES)
        if chat:
            return Columns((), None, messages=chat, group=groups)
    inputs, answer = _completed(table, free, inputs, answer)
    if answer in inputs:
        raise ColumnsNotFound(f"The column {answer!r} is named as input and as output.", fix="Name two different ones.")
    return Columns(inputs, answer, group=groups)


def _completed(
    table: Table, free: list[str], inputs: tuple[str, ...], output: str | None
) -> tuple[tuple[str, ...], str]:
    """Find what was not named. `free` are the columns without a part so far."""
    if inputs and output:
        return inputs, output
    if output:
        return _by_name_or_alone(table, free, INPUTS), output
    if inputs:
        return inputs, _by_name_or_alone(table, free, OUTPUTS)[0]
    return _by_names(free) or _by_shape(table, free)


def _by_names(free: list[str]) -> tuple[tuple[str, ...], str] | None:
    """Well-known names: first those that belong together, then one input and one output that are alone in it."""
    outputs = _known(free, OUTPUTS)
    for first, second in INPUTS_TOGETHER:
        a, b = called(free, first), called(free, second)
        if a and b and len(outputs) == 1:
            return (a, b), outputs[0]
    for question, answer in PAIRS:
        a, b = called(free, question), called(free, answer)
        if a and b:
            return (a,), b
    inputs = _known(free, INPUTS)
    return ((inputs[0],), outputs[0]) if len(inputs) == len(outputs) == 1 else None


def _by_shape(table: Table, free: list[str]) -> tuple[tuple[str, ...], str]:
    """Two columns beside counters are the input and the output in this order, if they have names at all."""
    counted = _without_counters(free)
    if len(counted) != 2:
        raise _unclear(table)
    for name in counted:
        if any(str(row.get(name)).strip() == name for row in table.rows):
            raise ColumnsNotFound(
                f"{table.source} begins with a row of data where the column names belong.",
                fix="Add a first row with the names: input,output.",
            )
    return (counted[0],), counted[1]


def _by_name_or_alone(table: Table, free: list[str], known: Sequence[str]) -> tuple[str]:
    candidates = _known(free, known) or _without_counters(free)
    if len(candidates) != 1:
        raise _unclear(table)
    return (candidates[0],)


def _known(free: list[str], names: Sequence[str]) -> list[str]:
    return [column for name in names if (column := called(free, name))]


def called(columns: Sequence[str], name: str) -> str | None:
    return next((column for column in columns if column.strip().casefold() == name.strip().casefold()), None)


def _without_counters(columns: list[str]) -> list[str]:
    return [name for name in columns if name.casefold() not in _COUNTERS and not name.casefold().startswith("unnamed")]


def existing(table: Table, name: str) -> str:
    """Return the column of that name, exactly so or else whatever its case."""
    found = name if name in table.columns else called(table.columns, name)
    if found:
        return found
    near = difflib.get_close_matches(name, table.columns, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ColumnsNotFound(f"{table.source} has no column {name!r}.{hint}", fix=f"It has: {_listed(table)}.")


def _unclear(table: Table) -> ColumnsNotFound:
    """Propose the names that look most like it; they are an example, not a guess to act on."""
    columns = list(table.columns)
    first = next(iter(_known(columns, INPUTS)), columns[0])
    others = [name for name in columns if name != first] or ["answer"]
    last = next(iter(_known(others, OUTPUTS)), others[-1])
    return ColumnsNotFound(
        f"Which columns of {table.source} hold the input and the answer is not clear. It has: {_listed(table)}.",
        fix=f"Name them, for example --input {first!r} --output {last!r}.",
    )


def _listed(table: Table) -> str:
    shown = ", ".join(map(repr, table.columns[:20]))
    return shown if len(table.columns) <= 20 else f"{shown} and {len(table.columns) - 20} more"
