"""What an expert is told about its query, once that has been run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rapidfuzz import fuzz, process, utils

from chiliad.copilot.prompt import identifier, literal
from chiliad.errors import QueryError, QueryFailed
from chiliad.store.read_only import Column, ReadOnlyFile, Result, Table

NEAR_MAX = 2
"""texts or columns that are named in place of a wrong one"""
TEXTS_MAX, COLUMNS_MAX = 4, 20
"""texts of a query that are looked for, and other columns in which each is: it takes a look at the rows each time"""
NEAR_SCORE_MIN = 60.0
"""of 100"""

_AGGREGATE = re.compile(r"\s*SELECT\s+(COUNT|SUM|AVG|MIN|MAX)\s*\(", re.IGNORECASE)
_EQUALITY = re.compile(r"""("(?:[^"]|"")+"|[A-Za-z_]\w*) = '((?:[^']|'')*)'""")


def complaint(database: ReadOnlyFile, tables: Sequence[Table], sql: str, ran: Result | QueryError) -> str | None:
    """One line about what is wrong with a query; None for one that gave something.

    A query that finds nothing is suspected too: the line then names texts that no row has, and what is like them.
    """
    if isinstance(ran, QueryFailed):
        return ran.said
    if isinstance(ran, QueryError):
        return "only SELECT is allowed"
    if _gives_something(sql, ran):
        return None
    try:
        return "; ".join(["no rows", *_absent(database, tables, sql)])
    except QueryError:  # a column that cannot be looked through in time
        return "no rows"


def _gives_something(sql: str, result: Result) -> bool:
    """Where no row is found, an aggregate gives one nevertheless: of nothing, or of a count of 0."""
    aggregate = _AGGREGATE.match(sql)
    if aggregate is None or len(result.rows) != 1:
        return bool(result.rows)
    nothing = (None, 0) if aggregate[1].upper() == "COUNT" else (None,)
    return any(value not in nothing for value in result.rows[0])


def _absent(database: ReadOnlyFile, tables: Sequence[Table], sql: str) -> Iterator[str]:
    """What can be said about each text that the query looks for and its column does not have."""
    for name, text in _EQUALITY.findall(sql)[:TEXTS_MAX]:
        wanted = text.replace("''", "'")
        for table in tables:
            column = _column(table, name)
            if column is not None and _is_used(table, sql) and not database.has(table.name, column.name, wanted):
                yield _told(database, table, column, wanted)


def _told(database: ReadOnlyFile, table: Table, column: Column, wanted: str) -> str:
    """Other columns that have the text are the better hint; failing that, texts of this column that are like it."""
    here = f"{literal(wanted)} is not in {identifier(column.name)}"
    others = [other for other in table.columns if other != column and not other.is_number][:COLUMNS_MAX]
    having = [identifier(other.name) for other in others if database.has(table.name, other.name, wanted)]
    if having:
        return f"{here} but in {' and '.join(having[:NEAR_MAX])}"
    known = database.texts(table.name, column.name)
    near = process.extract(
        wanted,
        known,
        scorer=fuzz.WRatio,
        processor=utils.default_process,
        limit=NEAR_MAX,
        score_cutoff=NEAR_SCORE_MIN,
    )
    return f"{here}, which has {' and '.join(literal(found) for found, _, _ in near)}" if near else here


def _column(table: Table, written: str) -> Column | None:
    name = written[1:-1].replace('""', '"') if written.startswith('"') else written
    return next((column for column in table.columns if column.name.lower() == name.lower()), None)


def _is_used(table: Table, sql: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(table.name)}(?!\w)", sql, re.IGNORECASE) is not None
