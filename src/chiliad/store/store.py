"""What the registry keeps in the database, as typed rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from chiliad.config import Settings
from chiliad.store.backend import Writers
from chiliad.store.database import Database
from chiliad.store.sqlite import sqlite_url
from chiliad.store.tables import comparisons, datasets, experts, promotions, retraining_rules, versions

_LIVE = select(versions).join(experts, (experts.c.name == versions.c.name) & (experts.c.live == versions.c.number))

Document = dict[str, Any]
"""what a JSON object is in Python"""


@dataclass(frozen=True)
class VersionRow:
    name: str
    number: int
    adapter_hash: str
    dataset_hash: str | None
    document: Document


@dataclass(frozen=True)
class PromotionRow:
    """One move of an alias. Rows of one expert are ordered; the last one says what is live."""

    action: str
    version: int
    at: str
    forced: bool
    comparison: Document | None


class Store:
    """The rows of the registry: experts, versions, aliases, comparisons and datasets.

    Safe to share between threads and to open from several processes, see `Database`. Every method raises StoreError
    when the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def open(cls, url: str) -> Store:
        """Open the database at `url`, creating its tables if need be."""
        return cls(Database.open(url))

    @classmethod
    def of(cls, settings: Settings) -> Store:
        """The database of a workspace: the one that is set, or else a SQLite file in its folder."""
        return cls.open(settings.database_url or sqlite_url(settings.workspace / "chiliad.db"))

    def close(self) -> None:
        self.database.close()

    def reserve_version(self, name: str, *, above: int = 0) -> int:
        """Take the next version number of an expert, greater than `above`. No number is ever handed out twice."""
        with self.database.write(Writers.REGISTRY) as connection:
            taken = connection.scalar(select(experts.c.next_number).where(experts.c.name == name))
            number = max(taken or 1, above + 1)
            _put_expert(connection, name, next_number=number + 1)
        return number

    def reserve_first(self, above: Mapping[str, int]) -> dict[str, int]:
        """Take the next version number of each of these experts, of which there is no version, greater than `above`."""
        with self.database.write(Writers.REGISTRY) as connection:
            taken = {row.name: row.next_number for row in connection.execute(select(experts))}
            numbers = {name: max(taken.get(name, 1), used + 1) for name, used in above.items()}
            for name, number in numbers.items():
                _put_expert(connection, name, next_number=number + 1)
        return numbers

    def put_live(self, rows: Sequence[tuple[VersionRow, Sequence[PromotionRow]]]) -> None:
        """Record versions that are live by those moves of their aliases. Doing it twice changes nothing."""
        with self.database.write(Writers.REGISTRY) as connection:
            for row, history in rows:
                _put_version(connection, row)
                _put_alias(connection, row.name, row.number, history)

    def put_versions(self, rows: Sequence[VersionRow]) -> None:
        """Record versions whose folders are in place. Doing it twice changes nothing."""
        with self.database.write(Writers.REGISTRY) as connection:
            for row in rows:
                _put_version(connection, row)

    def version(self, name: str, number: int) -> VersionRow | None:
        query = select(versions).where(versions.c.name == name, versions.c.number == number)
        with self.database.read() as connection:
            row = connection.execute(query).one_or_none()
        return _version_row(row) if row else None

    def live_version(self, name: str) -> VersionRow | None:
        """The version that the alias points at."""
        with self.database.read() as connection:
            row = connection.execute(_LIVE.where(experts.c.name == name)).one_or_none()
        return _version_row(row) if row else None

    def versions(self, name: str) -> list[VersionRow]:
        """The versions of an expert, by number."""
        query = select(versions).where(versions.c.name == name).order_by(versions.c.number)
        with self.database.read() as connection:
            return [_version_row(row) for row in connection.execute(query)]

    def versions_trained_with(self, field: str) -> list[VersionRow]:
        """The versions whose record of their training has a text in `field`, by name and number."""
        query = select(versions).where(versions.c.document["training", field].as_string().is_not(None))
        with self.database.read() as connection:
            ordered = query.order_by(versions.c.name, versions.c.number)
            return [_version_row(row) for row in connection.execute(ordered)]

    def live_versions(self) -> dict[str, VersionRow]:
        """expert name -> the version that its alias points at."""
        with self.database.read() as connection:
            return {row.name: _version_row(row) for row in connection.execute(_LIVE)}

    def numbers(self) -> dict[str, set[int]]:
        """expert name -> the numbers of its versions, for experts that have any."""
        found: dict[str, set[int]] = {}
        with self.database.read() as connection:
            for row in connection.execute(select(versions.c.name, versions.c.number).order_by(versions.c.name)):
                found.setdefault(row.name, set()).add(row.number)
        return found

    def remove_version(self, name: str, number: int) -> None:
        with self.database.write(Writers.REGISTRY) as connection:
            connection.execute(versions.delete().where(versions.c.name == name, versions.c.number == number))
            connection.execute(
                comparisons.delete().where(
                    comparisons.c.name == name,
                    (comparisons.c.candidate == number) | (comparisons.c.live == number),
                )
            )

    def remove_expert(self, name: str) -> None:
        """Forget versions, alias, history, comparisons and retraining rules of an expert; its numbers stay used."""
        with self.database.write(Writers.REGISTRY) as connection:
            for table in (versions, promotions, comparisons):
                connection.execute(table.delete().where(table.c.name == name))
            connection.execute(retraining_rules.delete().where(retraining_rules.c.expert == name))
            connection.execute(experts.update().where(experts.c.name == name).values(live=None))

    def put_alias(self, name: str, live: int | None, history: Iterable[PromotionRow]) -> None:
        """Point the alias of an expert at `live` and replace its history."""
        with self.database.write(Writers.REGISTRY) as connection:
            _put_alias(connection, name, live, history)

    def aliases(self) -> dict[str, int]:
        """expert name -> live version, for experts that have one."""
        with self.database.read() as connection:
            rows = connection.execute(select(experts.c.name, experts.c.live).where(experts.c.live.is_not(None)))
            return {row.name: row.live for row in rows}

    def history(self, name: str) -> list[PromotionRow]:
        """The moves of one alias, oldest first."""
        query = select(promotions).where(promotions.c.name == name).order_by(promotions.c.position)
        with self.database.read() as connection:
            return [_promotion_row(row) for row in connection.execute(query)]

    def histories(self) -> dict[str, list[PromotionRow]]:
        """expert name -> the moves of its alias, for all experts in one query."""
        found: dict[str, list[PromotionRow]] = {}
        with self.database.read() as connection:
            for row in connection.execute(select(promotions).order_by(promotions.c.name, promotions.c.position)):
                found.setdefault(row.name, []).append(_promotion_row(row))
        return found

    def put_comparison(self, name: str, candidate: int, live: int, document: Mapping[str, Any]) -> None:
        """Keep the newest comparison of two versions."""
        key = {"name": name, "candidate": candidate, "live": live}
        with self.database.write(Writers.REGISTRY) as connection:
            connection.execute(comparisons.delete().filter_by(**key))
            connection.execute(comparisons.insert().values(**key, document=dict(document)))

    def comparison(self, name: str, candidate: int, live: int) -> Document | None:
        query = select(comparisons.c.document).filter_by(name=name, candidate=candidate, live=live)
        with self.database.read() as connection:
            return connection.scalar(query)

    def put_dataset(self, dataset_hash: str, document: Mapping[str, Any]) -> None:
        with self.database.write(Writers.REGISTRY) as connection:
            connection.execute(datasets.delete().where(datasets.c.hash == dataset_hash))
            connection.execute(datasets.insert().values(hash=dataset_hash, document=dict(document)))

    def remove_dataset(self, dataset_hash: str) -> None:
        with self.database.write(Writers.REGISTRY) as connection:
            connection.execute(datasets.delete().where(datasets.c.hash == dataset_hash))

    def datasets(self) -> dict[str, Document]:
        """dataset hash -> its `dataset.json`."""
        with self.database.read() as connection:
            return {row.hash: row.document for row in connection.execute(select(datasets).order_by(datasets.c.hash))}

    def clear(self) -> None:
        """Empty the registry's tables; the files can fill them again."""
        with self.database.write(Writers.REGISTRY) as connection:
            for table in (versions, promotions, comparisons, datasets, experts):
                connection.execute(table.delete())


def _put_version(connection: Connection, row: VersionRow) -> None:
    connection.execute(versions.delete().where(versions.c.name == row.name, versions.c.number == row.number))
    connection.execute(versions.insert().values(**vars(row)))
    taken = connection.scalar(select(experts.c.next_number).where(experts.c.name == row.name))
    _put_expert(connection, row.name, next_number=max(taken or 1, row.number + 1))


def _put_alias(connection: Connection, name: str, live: int | None, history: Iterable[PromotionRow]) -> None:
    rows = [{"name": name, "position": i, **asdict(row)} for i, row in enumerate(history)]
    _put_expert(connection, name, live=live)
    connection.execute(promotions.delete().where(promotions.c.name == name))
    if rows:
        connection.execute(promotions.insert(), rows)


def _put_expert(connection: Connection, name: str, **values: int | None) -> None:
    done = connection.execute(experts.update().where(experts.c.name == name).values(**values))
    if done.rowcount == 0:
        connection.execute(experts.insert().values(name=name, **{"next_number": 1, **values}))


def _version_row(row: Row[Any]) -> VersionRow:
    return VersionRow(row.name, row.number, row.adapter_hash, row.dataset_hash, row.document)


def _promotion_row(row: Row[Any]) -> PromotionRow:
    return PromotionRow(row.action, row.version, row.at, row.forced, row.comparison)
