"""Queries on these very tables: a Lark grammar in which only their own columns can be named."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from chiliad.copilot.prompt import identifier
from chiliad.store.read_only import Table

GRAMMAR_CHARS_MAX = 50_000
"""of a grammar that can be compiled while somebody waits"""

_TERMINALS = r"""
COMPARED: " = " | " != " | " < " | " > " | " <= " | " >= "
ALIKE: " = " | " != " | " LIKE "
JOINED: " AND " | " OR "
ORDER: " ASC" | " DESC"
SUMMED: "COUNT(" | "COUNT(DISTINCT " | "MAX(" | "MIN(" | "SUM(" | "AVG("
TEXT: /'([^'\n]|''){0,200}'/
NUMBER: /-?[0-9]{1,15}(\.[0-9]{1,9})?/
COUNT: /[0-9]{1,4}/
"""


def select_grammar(tables: Sequence[Table]) -> str | None:
    """SELECT from one of the tables, texts compared with texts and numbers with numbers; None if there are too many columns.

    What it leaves out is joins, subqueries and expressions: an expert that has learned these is asked without it.
    """
    usable = [table for table in tables if table.columns]
    rules = [f"start: {' | '.join(f'select{n}' for n in range(len(usable)))}"]
    for number, table in enumerate(usable):
        rules.extend(_rules(number, table))
    source = "\n".join(rules) + _TERMINALS
    return source if usable and len(source) <= GRAMMAR_CHARS_MAX else None


def _rules(n: int, table: Table) -> Iterator[str]:
    texts = [column for column in table.columns if not column.is_number]
    numbers = [column for column in table.columns if column.is_number]
    yield (
        f'select{n}: "SELECT " "DISTINCT "? item{n} (", " item{n})* {_written(f" FROM {identifier(table.name)}")} '
        f'(" WHERE " test{n} (JOINED test{n})*)? (" GROUP BY " column{n})? (" ORDER BY " item{n} ORDER?)? '
        f'(" LIMIT " COUNT)?'
    )
    yield f'item{n}: column{n} | "COUNT(*)" | SUMMED column{n} ")"'
    yield f"column{n}: {' | '.join(_written(identifier(column.name)) for column in table.columns)}"
    tests = []
    if texts:
        yield f"text{n}: {' | '.join(_written(identifier(column.name)) for column in texts)}"
        tests.append(f"text{n} ALIKE TEXT")
    if numbers:
        yield f"number{n}: {' | '.join(_written(identifier(column.name)) for column in numbers)}"
        tests.append(f"number{n} COMPARED NUMBER")
    yield f"test{n}: {' | '.join(tests)}"


def _written(text: str) -> str:
    """A text as the grammar writes it."""
    return json.dumps(text, ensure_ascii=False)
