"""All rows of a database as plain lines of JSON, which either kind of database can be filled from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import JSON, Connection, MetaData, Table, func, inspect, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from chiliad.errors import BrokenBackup, StoreError
from chiliad.store.backend import Writers
from chiliad.store.database import backend_of
from chiliad.store.schema import refuse_newer, upgrade
from chiliad.store.tables import SCHEMA, metadata, schema

ROWS_PER_INSERT = 500
ALEMBIC_TABLE = "alembic_version"

Load = Callable[[int, Mapping[str, Path]], None]
"""takes the schema that rows were written in, and the file with each table's rows"""


def dump(connection: Connection) -> Iterator[tuple[str, Iterator[bytes]]]:
    """(table, its rows as lines) for every table, of one snapshot."""
    for table in metadata.sorted_tables:
        if table is not schema:
            yield table.name, _lines(connection, table)


@contextmanager
def emptied(url: str) -> Iterator[Load]:
    """What fills a database that holds no row of ours; it is filled when the block ends, or as it was before.

    Raises StoreError if there are rows.
    """
    backend = backend_of(url)
    try:
        with backend.explained(), backend.opening(), backend.engine.begin() as connection:
            backend.admit(connection, Writers.SCHEMA)
            _drop_empty_tables(connection, backend.where)
            yield partial(_load, connection)
    finally:
        backend.engine.dispose()


def _load(connection: Connection, schema_number: int, files: Mapping[str, Path]) -> None:
    """Make the tables as they were in `schema_number`, fill them from `files`, and bring them up to date.

    Raises BrokenBackup for rows that do not belong there.
    """
    refuse_newer(schema_number, "backup")
    upgrade(connection, 0, schema_number)
    try:
        then = MetaData()
        then.reflect(connection, only=list(files))
        for name, path in files.items():
            _fill(connection, then.tables[name], path)
    except DBAPIError:
        raise
    except (SQLAlchemyError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise BrokenBackup(
            f"The backup's rows do not fit its schema: {error}.", fix="Take another copy of it; nothing was restored."
        ) from error
    if schema_number < SCHEMA:
        upgrade(connection, schema_number, SCHEMA)


def _lines(connection: Connection, table: Table) -> Iterator[bytes]:
    rows = connection.execution_options(yield_per=ROWS_PER_INSERT).execute(select(table))
    for row in rows.mappings():
        yield json.dumps(dict(row)).encode() + b"\n"


def _drop_empty_tables(connection: Connection, where: str) -> None:
    present = set(inspect(connection).get_table_names())
    ours = [table for table in metadata.sorted_tables if table.name in present]
    for table in ours:
        if table is not schema and connection.scalar(select(func.count()).select_from(table)):
            raise StoreError(
                f"{where} holds a workspace already ({table.name}).", fix="Restore into an empty database."
            )
    metadata.drop_all(connection, ours)
    Table(ALEMBIC_TABLE, MetaData()).drop(connection, checkfirst=True)


def _fill(connection: Connection, table: Table, path: Path) -> None:
    for column in table.columns:
        if isinstance(column.type, JSON):
            column.type.none_as_null = True
    rows: list[dict[str, object]] = []
    with path.open("rb") as file:
        for line in file:
            row = json.loads(line)
            if row.keys() != set(table.columns.keys()):
                raise ValueError(f"a row of {table.name} has the columns {', '.join(row)}")
            rows.append(row)
            if len(rows) == ROWS_PER_INSERT:
                connection.execute(table.insert(), rows)
                rows.clear()
    if rows:
        connection.execute(table.insert(), rows)
