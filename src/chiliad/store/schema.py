"""Bringing a database's tables up to what this program knows, by the numbered steps in `migrations/versions`."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, select

from chiliad.errors import StoreError
from chiliad.store.backend import Backend, Writers
from chiliad.store.tables import SCHEMA, schema

STEPS = Path(__file__).parent / "migrations"


def bring_up_to_date(backend: Backend) -> None:
    """Migrate a database that is older than this program, or empty; leave one that is as old alone.

    All steps are one transaction, and one process at a time takes them. Raises StoreError if the database is newer.
    """
    with backend.engine.connect().execution_options(**backend.read_options) as connection:
        if _found(connection) == SCHEMA:
            return
    with backend.engine.begin() as connection:
        backend.admit(connection, Writers.SCHEMA)
        found = _found(connection)
        refuse_newer(found, "database")
        if found < SCHEMA:
            upgrade(connection, found, SCHEMA)


def upgrade(connection: Connection, found: int, wanted: int) -> None:
    """Take the steps from schema `found` (0: no table yet) to `wanted`, in the transaction of `connection`."""
    from alembic import command  # loaded here alone: most starts find nothing to do
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(STEPS).replace("%", "%%"))
    command.stamp(config, revision(found), purge=True)
    command.upgrade(config, revision(wanted))
    connection.execute(schema.delete())
    connection.execute(schema.insert().values(number=wanted))


def refuse_newer(found: int, what: str) -> None:
    """Raises StoreError for a schema that this program does not know."""
    if found > SCHEMA:
        raise StoreError(
            f"The {what} has schema {found}; this version of Chiliad knows up to {SCHEMA}.",
            fix="Upgrade Chiliad, or use the version that wrote this workspace.",
        )


def revision(number: int) -> str:
    """How alembic names a schema."""
    return f"{number:04}" if number else "base"


def _found(connection: Connection) -> int:
    """`schema_version` is what every version of Chiliad reads; alembic's own table follows it."""
    if not inspect(connection).has_table(schema.name):
        return 0
    return connection.execute(select(schema.c.number)).scalar() or 0
