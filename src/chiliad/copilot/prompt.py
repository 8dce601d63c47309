"""The one form in which an expert sees a question about a database: when it is trained, and whenever it is asked.

    flights(carrier, "from", delay_min number)
    How late was the worst flight of Garuda?
    Tried: SELECT MAX(delay) FROM flights WHERE carrier = 'Garuda'
    But: no such column: delay

The last two lines are there if a query was tried and something was wrong with it. Names stand as SQL writes them, so that
they only have to be copied; columns are texts unless it says that they are numbers. The answer is the query alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chiliad.store.read_only import Table

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = re.compile(
    "ADD|ALL|ALTER|AND|AS|AUTOINCREMENT|BETWEEN|CASE|CAST|CHECK|COLLATE|COMMIT|CONSTRAINT|CREATE|CURRENT_DATE|CURRENT_TIME|"
    "CURRENT_TIMESTAMP|DEFAULT|DEFERRABLE|DELETE|DISTINCT|DROP|ELSE|ESCAPE|EXCEPT|EXISTS|FOREIGN|FROM|GROUP|HAVING|IN|"
    "INDEX|INSERT|INTERSECT|INTO|IS|ISNULL|JOIN|LIMIT|NOT|NOTHING|NOTNULL|NULL|ON|OR|ORDER|PRIMARY|RAISE|REFERENCES|"
    "RETURNING|SELECT|SET|TABLE|THEN|TO|TRANSACTION|UNION|UNIQUE|UPDATE|USING|VALUES|WHEN|WHERE",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Mistake:
    """A query that was tried, and what was wrong with it."""

    sql: str
    complaint: str


def prompt(tables: Sequence[Table], question: str, mistake: Mistake | None = None) -> str:
    lines = [_described(table) for table in tables]
    lines.append(_one_line(question))
    if mistake is not None:
        lines += [f"Tried: {_one_line(mistake.sql)}", f"But: {_one_line(mistake.complaint)}"]
    return "\n".join(lines)


def identifier(name: str) -> str:
    """A name as SQL writes it: in quotes where it is no plain word."""
    if _PLAIN.fullmatch(name) and not _RESERVED.fullmatch(name):
        return name
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _described(table: Table) -> str:
    columns = (identifier(column.name) + (" number" if column.is_number else "") for column in table.columns)
    return _one_line(f"{identifier(table.name)}({', '.join(columns)})")


def _one_line(text: str) -> str:
    return " ".join(text.split())
