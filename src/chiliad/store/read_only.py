"""Somebody's SQLite file, which can be looked at and queried, and to which nothing else can happen.

What guards it: the file is opened read-only and immutable; an authorizer lets through nothing but SELECT, the reading of
ordinary tables and functions of a list; SQLite's own limits bound a statement and a value; a progress handler ends what
takes too long. See https://sqlite.org/security.html, whose advice for untrusted SQL and untrusted files this follows.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from chiliad.config import CopilotSettings
from chiliad.errors import ChiliadError, FileRefused, QueryFailed, QueryRefused

TABLES_MAX = 100
COLUMNS_MAX = 200
"""of one table as it is shown, and of one result"""
SQL_CHARS_MAX = 10_000
VALUE_CHARS_MAX = 2_000
"""of one value in a result; the rest is cut off"""
TEXTS_MAX = 1_000
"""different texts of a column that are looked at for one that is meant"""
LOOK_UP_SECONDS_MAX = 0.5
STEPS_BETWEEN_LOOKS = 1_000
"""instructions between two looks at the clock"""
CHECK = CopilotSettings(query_seconds_max=60.0, query_steps_max=10**10)
"""what looking through a whole file may take"""

_CALLED = (
    "abs acos asin atan atan2 avg cast ceil ceiling coalesce cos count cume_dist current_date current_time "
    "current_timestamp date datetime degrees dense_rank exp first_value floor glob group_concat hex ifnull iif instr "
    "julianday lag last_value lead length like likelihood likely ln log log10 log2 lower ltrim max min mod nth_value ntile "
    "nullif percent_rank pi pow power quote radians random rank replace round row_number rtrim sign sin sqrt strftime "
    "substr substring sum tan time total trim trunc typeof unicode unixepoch unlikely upper"
)
FUNCTIONS = frozenset(_CALLED.split())
"""what a query may call: nothing that reads files, loads code, tells about the process or makes large values"""

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1 << 20,  # bytes of one value or row
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 4 * SQL_CHARS_MAX,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 20,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 16,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_REFUSED = {
    sqlite3.SQLITE_ATTACH: "ATTACH",
    sqlite3.SQLITE_DETACH: "DETACH",
    sqlite3.SQLITE_PRAGMA: "PRAGMA",
    sqlite3.SQLITE_RECURSIVE: "WITH RECURSIVE",
    sqlite3.SQLITE_TRANSACTION: "a transaction",
    sqlite3.SQLITE_SAVEPOINT: "a savepoint",
}

Value: TypeAlias = str | int | float | None


@dataclass(frozen=True)
class Column:
    """is_number: by the type that its table declares, as SQLite takes that (INTEGER, REAL or NUMERIC affinity)"""

    name: str
    is_number: bool


@dataclass(frozen=True)
class Table:
    """A table or view with its columns in their order."""

    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Result:
    """cut: whether there is more than is shown, of rows or of some value; seconds: what the query took"""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    cut: bool
    seconds: float


class ReadOnlyFile:
    """Every look opens the file anew and closes it, so that threads can share this. Raises FileRefused."""

    def __init__(self, path: Path, limits: CopilotSettings) -> None:
        self._path = path
        self._limits = limits

    def tables(self) -> tuple[Table, ...]:
        """Its ordinary tables and views, by name; those of SQLite itself and of extensions are left out."""
        with self._explained(), closing(self._open()) as connection:
            names = [
                name
                for name, kind in connection.execute(
                    "SELECT name, type FROM pragma_table_list WHERE schema = 'main' ORDER BY name"
                )
                if kind in ("table", "view") and not name.lower().startswith("sqlite_")
            ]
            return tuple(Table(name, tuple(_columns(connection, name))) for name in names[:TABLES_MAX])

    def check(self) -> None:
        """Raises FileRefused if this is no SQLite database, or a broken one."""
        with self._explained(), closing(self._open()) as connection, _watched(connection, CHECK):
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise _unreadable(self._path.name, str(found).splitlines()[-1])

    def run(self, sql: str) -> Result:
        """Raises QueryFailed and QueryRefused."""
        began = time.monotonic()
        with self._explained(), closing(self._open()) as connection:
            refused = _guard(connection)
            try:
                with _watched(connection, self._limits):
                    columns, rows, cut = self._rows(connection, _checked(sql))
            except (sqlite3.Error, sqlite3.Warning) as error:
                raise _explanation(error, refused) from error
        return Result(columns, rows, cut, time.monotonic() - began)

    def texts(self, table: str, column: str) -> tuple[str, ...]:
        """Some different texts of a column. Raises QueryFailed if that takes long."""
        found = self._looked_up(f"SELECT DISTINCT {_quoted(column)} FROM {_quoted(table)}")
        return tuple(value for (value,) in found.rows if isinstance(value, str))

    def has(self, table: str, column: str, text: str) -> bool:
        """Whether some row has this text in a column, as the column compares. Raises QueryFailed if that takes long."""
        wanted = text.replace("'", "''")
        found = self._looked_up(f"SELECT 1 FROM {_quoted(table)} WHERE {_quoted(column)} = '{wanted}' LIMIT 1")
        return bool(found.rows)

    def _looked_up(self, sql: str) -> Result:
        """What helps, but is not asked for, may take less."""
        limits = replace(self._limits, query_rows_max=TEXTS_MAX, query_seconds_max=LOOK_UP_SECONDS_MAX)
        return ReadOnlyFile(self._path, limits).run(sql)

    def _rows(
        self, connection: sqlite3.Connection, sql: str
    ) -> tuple[tuple[str, ...], tuple[tuple[Value, ...], ...], bool]:
        cursor = connection.execute(sql)
        if cursor.description is None:
            raise QueryFailed("there is no query", fix="Write a query that begins with SELECT.")
        columns = tuple(str(column[0])[:VALUE_CHARS_MAX] for column in cursor.description)
        if len(columns) > COLUMNS_MAX:
            raise QueryFailed(f"it gives {len(columns)} columns", fix=f"Ask for at most {COLUMNS_MAX}.")
        rows: list[tuple[Value, ...]] = []
        room, cut = self._limits.query_bytes_max, False
        for row in cursor:
            shown = tuple(_shown(value) for value in row)
            room -= sum(len(value) if isinstance(value, str) else 8 for value in shown)
            if room < 0 or len(rows) == self._limits.query_rows_max:
                cut = True
                break
            cut = cut or any(isinstance(value, str) and len(value) > VALUE_CHARS_MAX for value in shown)
            rows.append(shown)
        return columns, tuple(rows), cut

    def _open(self) -> sqlite3.Connection:
        """A connection that cannot write, make files beside the database, or trust what stands in its schema."""
        if self._path.is_symlink() or not self._path.is_file():
            raise _unreadable(self._path.name, "it is no plain file")
        uri = f"{self._path.absolute().as_uri()}?mode=ro&immutable=1"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        connection.text_factory = lambda found: found.decode("utf-8", "replace")
        for limit, most in _LIMITS.items():
            connection.setlimit(limit, most)
        for setting in ("query_only = ON", "trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
            connection.execute(f"PRAGMA {setting}")
        return connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeError) as error:
            raise _unreadable(self._path.name, str(error)) from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _columns(connection: sqlite3.Connection, table: str) -> Iterator[Column]:
    described = connection.execute("SELECT name, type FROM pragma_table_xinfo(?) WHERE hidden <> 1", (table,))
    for name, declared in described.fetchmany(COLUMNS_MAX):
        yield Column(name, _is_number(str(declared).upper()))


def _is_number(declared: str) -> bool:
    """SQLite's rules of affinity: https://sqlite.org/datatype3.html, 3.1. A column without a type is no number."""
    if "INT" in declared:
        return True
    if not declared or any(word in declared for word in ("CHAR", "CLOB", "TEXT", "BLOB")):
        return False
    return "DATE" not in declared and "TIME" not in declared  # numbers to SQLite, but texts to those who declare them


def _guard(connection: sqlite3.Connection) -> list[str]:
    """From here on the connection prepares nothing but reading; what was refused is written into the list."""
    refused: list[str] = []
    made = {str(name).lower() for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    virtual = {
        str(name).lower() for (name,) in connection.execute("SELECT name FROM pragma_table_list WHERE type = 'virtual'")
    }
    hidden = ({str(name).lower() for (name,) in connection.execute("PRAGMA module_list")} - made) | virtual

    def allow(action: int, one: str | None, two: str | None, _database: str | None, _inner: str | None) -> int:
        why = _refusal(action, (one or "").lower(), (two or "").lower(), hidden)
        if why is None:
            return sqlite3.SQLITE_OK
        refused.append(why)
        return sqlite3.SQLITE_DENY

    connection.set_authorizer(allow)
    return refused


def _refusal(action: int, one: str, two: str, hidden: set[str]) -> str | None:
    """What a query must not do, if this is such a thing."""
    match action:
        case sqlite3.SQLITE_SELECT:
            return None
        case sqlite3.SQLITE_READ:
            is_open = one not in hidden and not one.startswith(("sqlite_", "pragma_"))
            return None if is_open else f"to read {one}"
        case sqlite3.SQLITE_FUNCTION:
            return None if two in FUNCTIONS else f"the function {two}"
        case _:
            return _REFUSED.get(action, "to change something")


@contextmanager
def _watched(connection: sqlite3.Connection, limits: CopilotSettings) -> Iterator[None]:
    """What runs meanwhile ends with SQLite's `interrupted` after its time or its number of instructions."""
    ends_s = time.monotonic() + limits.query_seconds_max
    looks = iter(range(limits.query_steps_max // STEPS_BETWEEN_LOOKS))
    connection.set_progress_handler(lambda: next(looks, None) is None or time.monotonic() > ends_s, STEPS_BETWEEN_LOOKS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


def _checked(sql: str) -> str:
    if len(sql) > SQL_CHARS_MAX:
        raise QueryFailed(f"it has {len(sql)} characters", fix=f"Write at most {SQL_CHARS_MAX}.")
    if "\x00" in sql or any("\ud800" <= sign <= "\udfff" for sign in sql):
        raise QueryFailed("it holds characters that are no text", fix="Write it as UTF-8 text.")
    return sql


def _shown(value: object) -> Value:
    """Bytes as SQL writes them, long texts cut so that one sees it."""
    if isinstance(value, bytes):
        value = f"x'{value[: VALUE_CHARS_MAX // 2 + 1].hex()}'"
    if isinstance(value, str):
        return value if len(value) <= VALUE_CHARS_MAX else value[:VALUE_CHARS_MAX] + "…"
    if isinstance(value, float) and math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    assert value is None or isinstance(value, int | float), "SQLite has no other kinds of values"
    return value


def _explanation(error: Exception, refused: list[str]) -> ChiliadError:
    words = str(error)
    if refused:
        return QueryRefused(
            f"The query is not run: {refused[0]} is not allowed here.", fix="Only SELECT on its tables is answered."
        )
    if "interrupted" in words:
        return QueryFailed("it took too long", fix="Ask for less, or join on columns that single out few rows.")
    if "one statement at a time" in words:
        return QueryRefused("The query is not run: it is several statements.", fix="Give one SELECT.")
    if "not a database" in words or "malformed" in words:
        return _unreadable("The database", words)
    return QueryFailed(words, fix="Mend the query, or ask again in other words.")


def _unreadable(name: str, why: str) -> FileRefused:
    return FileRefused(f"{name} is no SQLite database that can be read: {why}.", fix="Give a whole SQLite file.")
