"""The database of a workspace: SQLite in WAL mode, so that `serve`, `train` and `ask` share it at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, create_engine, event, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from chiliad.errors import StoreError
from chiliad.store.files import explain_disk_errors, folder_lock
from chiliad.store.tables import comparisons, datasets, experts, migrate, promotions, versions

BUSY_TIMEOUT_MS = 30_000

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
    """Typed access to the tables; every statement that Chiliad sends is in this class.

    Safe to share between threads, and to open from several processes: readers never wait, writers wait for each
    other up to BUSY_TIMEOUT_MS. Every method raises StoreError when the database cannot be used.
    """

    def __init__(self, engine: Engine, where: Path) -> None:
        self._engine = engine
        self._where = where

    @classmethod
    def open(cls, url: str) -> Store:
        """Open the database at `url` (`sqlite:///path`), creating it and its tables if need be."""
        path = _sqlite_path(url)
        with folder_lock(path.parent), _explained(path):
            engine = _engine(path)
            with engine.begin() as connection:
                migrate(connection)
        return cls(engine, path)

    def close(self) -> None:
        self._engine.dispose()

    def reserve_version(self, name: str, *, above: int = 0) -> int:
        """Take the next version number of an expert, greater than `above`. No number is ever handed out twice."""
        with self._write() as connection:
            taken = connection.scalar(select(experts.c.next_number).where(experts.c.name == name))
            number = max(taken or 1, above + 1)
            _put_expert(connection, name, next_number=number + 1)
        return number

    def put_versions(self, rows: Sequence[VersionRow]) -> None:
        """Record versions whose folders are in place. Doing it twice changes nothing."""
        with self._write() as connection:
            for row in rows:
                _put_version(connection, row)

    def version(self, name: str, number: int) -> VersionRow | None:
        query = select(versions).where(versions.c.name == name, versions.c.number == number)
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        return _version_row(row) if row else None

    def live_version(self, name: str) -> VersionRow | None:
        """The version that the alias points at."""
        with self._read() as connection:
            row = connection.execute(_LIVE.where(experts.c.name == name)).one_or_none()
        return _version_row(row) if row else None

    def versions(self, name: str) -> list[VersionRow]:
        """The versions of an expert, by number."""
        query = select(versions).where(versions.c.name == name).order_by(versions.c.number)
        with self._read() as connection:
            return [_version_row(row) for row in connection.execute(query)]

    def live_versions(self) -> dict[str, VersionRow]:
        """expert name -> the version that its alias points at."""
        with self._read() as connection:
            return {row.name: _version_row(row) for row in connection.execute(_LIVE)}

    def numbers(self) -> dict[str, set[int]]:
        """expert name -> the numbers of its versions, for experts that have any."""
        found: dict[str, set[int]] = {}
        with self._read() as connection:
            for row in connection.execute(select(versions.c.name, versions.c.number).order_by(versions.c.name)):
                found.setdefault(row.name, set()).add(row.number)
        return found

    def remove_version(self, name: str, number: int) -> None:
        with self._write() as connection:
            connection.execute(versions.delete().where(versions.c.name == name, versions.c.number == number))
            connection.execute(
                comparisons.delete().where(
                    comparisons.c.name == name,
                    (comparisons.c.candidate == number) | (comparisons.c.live == number),
                )
            )

    def remove_expert(self, name: str) -> None:
        """Forget versions, alias, history and comparisons of an expert; its numbers stay used."""
        with self._write() as connection:
            for table in (versions, promotions, comparisons):
                connection.execute(table.delete().where(table.c.name == name))
            connection.execute(experts.update().where(experts.c.name == name).values(live=None))

    def put_alias(self, name: str, live: int | None, history: Iterable[PromotionRow]) -> None:
        """Point the alias of an expert at `live` and replace its history."""
        rows = [{"name": name, "position": i, **asdict(row)} for i, row in enumerate(history)]
        with self._write() as connection:
            _put_expert(connection, name, live=live)
            connection.execute(promotions.delete().where(promotions.c.name == name))
            if rows:
                connection.execute(promotions.insert(), rows)

    def aliases(self) -> dict[str, int]:
        """expert name -> live version, for experts that have one."""
        with self._read() as connection:
            rows = connection.execute(select(experts.c.name, experts.c.live).where(experts.c.live.is_not(None)))
            return {row.name: row.live for row in rows}

    def history(self, name: str) -> list[PromotionRow]:
        """The moves of one alias, oldest first."""
        query = select(promotions).where(promotions.c.name == name).order_by(promotions.c.position)
        with self._read() as connection:
            return [_promotion_row(row) for row in connection.execute(query)]

    def histories(self) -> dict[str, list[PromotionRow]]:
        """expert name -> the moves of its alias, for all experts in one query."""
        found: dict[str, list[PromotionRow]] = {}
        with self._read() as connection:
            for row in connection.execute(select(promotions).order_by(promotions.c.name, promotions.c.position)):
                found.setdefault(row.name, []).append(_promotion_row(row))
        return found

    def put_comparison(self, name: str, candidate: int, live: int, document: Mapping[str, Any]) -> None:
        """Keep the newest comparison of two versions."""
        key = {"name": name, "candidate": candidate, "live": live}
        with self._write() as connection:
            connection.execute(comparisons.delete().filter_by(**key))
            connection.execute(comparisons.insert().values(**key, document=dict(document)))

    def comparison(self, name: str, candidate: int, live: int) -> Document | None:
        query = select(comparisons.c.document).filter_by(name=name, candidate=candidate, live=live)
        with self._read() as connection:
            return connection.scalar(query)

    def put_dataset(self, dataset_hash: str, document: Mapping[str, Any]) -> None:
        with self._write() as connection:
            connection.execute(datasets.delete().where(datasets.c.hash == dataset_hash))
            connection.execute(datasets.insert().values(hash=dataset_hash, document=dict(document)))

    def remove_dataset(self, dataset_hash: str) -> None:
        with self._write() as connection:
            connection.execute(datasets.delete().where(datasets.c.hash == dataset_hash))

    def datasets(self) -> dict[str, Document]:
        """dataset hash -> its `dataset.json`."""
        with self._read() as connection:
            return {row.hash: row.document for row in connection.execute(select(datasets).order_by(datasets.c.hash))}

    def clear(self) -> None:
        """Empty every table except the schema's number; the files can fill them again."""
        with self._write() as connection:
            for table in (versions, promotions, comparisons, datasets, experts):
                connection.execute(table.delete())

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with _explained(self._where), self._engine.connect() as connection:
            yield connection.execution_options(begin="BEGIN")

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with _explained(self._where), self._engine.begin() as connection:
            yield connection


def sqlite_url(path: Path) -> str:
    """The database URL of a SQLite file."""
    return URL.create("sqlite", database=str(path.absolute())).render_as_string()


def _sqlite_path(url: str) -> Path:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = URL.create("unreadable")
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise StoreError(
            f"{url!r} is not the URL of a SQLite file.",
            fix="Write database_url as sqlite:////absolute/path/chiliad.db.",
        )
    return Path(parsed.database)


def _engine(path: Path) -> Engine:
    engine = create_engine(sqlite_url(path))
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: Any, _: object) -> None:
    """Per-connection settings; the driver's own transactions are off because they begin too late."""
    connection.isolation_level = None
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    """Writers take the write lock at once: a transaction that starts as a reader cannot wait for it later."""
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN IMMEDIATE"))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    with explain_disk_errors(path):
        try:
            yield
        except DatabaseError as error:
            raise _explanation(path, str(error.orig)) or error from error


def _explanation(path: Path, words: str) -> StoreError | None:
    """What a message of SQLite means for the user; None leaves it to whoever knows better."""
    if "disk is full" in words:
        return None
    if "locked" in words:
        return StoreError(f"{path} is locked by another process.", fix="Wait for that process, or stop it.")
    if "readonly" in words or "unable to open" in words:
        return StoreError(f"{path} cannot be opened for writing.", fix="Give yourself write access to its folder.")
    if "disk I/O error" in words:
        return StoreError(
            f"The disk failed under {path}.", fix="See that it has free space and is healthy; run it again."
        )
    return StoreError(
        f"The database {path} cannot be used: {words}.",
        fix="Move the file away: experts, aliases and datasets are rebuilt from the workspace's folders.",
    )


def _put_version(connection: Connection, row: VersionRow) -> None:
    connection.execute(versions.delete().where(versions.c.name == row.name, versions.c.number == row.number))
    connection.execute(versions.insert().values(**vars(row)))
    taken = connection.scalar(select(experts.c.next_number).where(experts.c.name == row.name))
    _put_expert(connection, row.name, next_number=max(taken or 1, row.number + 1))


def _put_expert(connection: Connection, name: str, **values: int | None) -> None:
    done = connection.execute(experts.update().where(experts.c.name == name).values(**values))
    if done.rowcount == 0:
        connection.execute(experts.insert().values(name=name, **{"next_number": 1, **values}))


def _version_row(row: Row[Any]) -> VersionRow:
    return VersionRow(row.name, row.number, row.adapter_hash, row.dataset_hash, row.document)


def _promotion_row(row: Row[Any]) -> PromotionRow:
    return PromotionRow(row.action, row.version, row.at, row.forced, row.comparison)
