"""SQLite in WAL mode, so that `serve`, `train` and `ask` share one file at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from chiliad.errors import StoreError
from chiliad.store.backend import WAIT_MS_MAX, Backend, Writers, as_json
from chiliad.store.files import explain_disk_errors, folder_lock


class Sqlite(Backend):
    def __init__(self, path: Path) -> None:
        engine = create_engine(
            sqlite_url(path),
            json_serializer=as_json,
            hide_parameters=True,  # errors are logged; answers are not
        )
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        super().__init__(engine, str(path), read_options={"begin": "BEGIN"})
        self._path = path

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Going over to WAL mode does not wait for others that do so too."""
        with folder_lock(self._path.parent):
            yield

    def admit(self, connection: Connection, writers: Writers) -> None:
        """Nothing to do: BEGIN IMMEDIATE has let in one writer of the whole file."""

    @contextmanager
    def explained(self) -> Iterator[None]:
        with explain_disk_errors(self._path), super().explained():
            yield

    def explanation(self, error: DBAPIError) -> StoreError | None:
        words = str(error.orig)
        if "disk is full" in words:
            return None
        if "locked" in words:
            return StoreError(f"{self.where} is locked by another process.", fix="Wait for that process, or stop it.")
        if "readonly" in words or "unable to open" in words:
            return StoreError(
                f"{self.where} cannot be opened for writing.", fix="Give yourself write access to its folder."
            )
        if "disk I/O error" in words:
            return StoreError(
                f"The disk failed under {self.where}.", fix="See that it has free space and is healthy; run it again."
            )
        return StoreError(
            f"The database {self.where} cannot be used: {words}.",
            fix="Restore the last backup (`chiliad restore`). Without one, move the file away: experts and datasets are "
            "rebuilt from the workspace's folders, but keys, jobs, answers and the ledger are lost.",
        )


def sqlite_url(path: Path) -> str:
    """The database URL of a SQLite file."""
    return URL.create("sqlite", database=str(path.absolute())).render_as_string()


def _configure(connection: Any, _: object) -> None:
    """Per-connection settings; the driver's own transactions are off because they begin too late."""
    connection.isolation_level = None
    for pragma in (f"busy_timeout={WAIT_MS_MAX}", "journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    """Writers take the write lock at once: a transaction that starts as a reader cannot wait for it later."""
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN IMMEDIATE"))
