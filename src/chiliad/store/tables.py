"""The tables, and the numbered steps that bring an older database up to them.

Experts, versions, aliases and datasets are an index over plain files and can be rebuilt from them; only comparisons
that were not used for a promotion yet live here alone.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import JSON, Boolean, Column, Connection, Integer, MetaData, String, Table, inspect, select

from chiliad.errors import StoreError

metadata = MetaData()

schema = Table("schema_version", metadata, Column("number", Integer, nullable=False))

experts = Table(
    "experts",
    metadata,
    Column("name", String, primary_key=True),
    Column("next_number", Integer, nullable=False),
    Column("live", Integer, nullable=True),
)

versions = Table(
    "versions",
    metadata,
    Column("name", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("adapter_hash", String, nullable=False, index=True),
    Column("dataset_hash", String, nullable=True, index=True),
    Column("document", JSON, nullable=False),
)

promotions = Table(
    "promotions",
    metadata,
    Column("name", String, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("action", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", String, nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("comparison", JSON(none_as_null=True), nullable=True),
)

comparisons = Table(
    "comparisons",
    metadata,
    Column("name", String, primary_key=True),
    Column("candidate", Integer, primary_key=True),
    Column("live", Integer, primary_key=True),
    Column("document", JSON, nullable=False),
)

datasets = Table(
    "datasets",
    metadata,
    Column("hash", String, primary_key=True),
    Column("document", JSON, nullable=False),
)


def migrate(connection: Connection) -> None:
    """Bring the database to the newest schema, step by step. Raises StoreError if it is newer than this program."""
    found = _schema_number(connection)
    if found > len(MIGRATIONS):
        raise StoreError(
            f"The database has schema {found}; this version of Chiliad knows up to {len(MIGRATIONS)}.",
            fix="Upgrade Chiliad, or use the version that wrote this workspace.",
        )
    for step in MIGRATIONS[found:]:
        step(connection)
    connection.execute(schema.delete())
    connection.execute(schema.insert().values(number=len(MIGRATIONS)))


def _create_first_tables(connection: Connection) -> None:
    metadata.create_all(connection)


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_create_first_tables,)
"""step n brings schema n to n + 1; steps are only ever added"""


def _schema_number(connection: Connection) -> int:
    if not inspect(connection).has_table(schema.name):
        return 0
    return connection.execute(select(schema.c.number)).scalar() or 0
