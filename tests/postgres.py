"""A PostgreSQL server of one's own, from the system's packages, for as long as the tests run."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

PASSWORD = "p@ss/wörd%"
"""one that has to be percent-encoded in a URL"""
ENCODED = "p%40ss%2Fw%C3%B6rd%25"
START_S_MAX = 60


class Server:
    """Owns a data folder and a port. `stop` and `start` are what an administrator's restart does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def create(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        for path in (self.folder, secret):
            shutil.chown(path, *_owner())
        made = [
            _program("initdb"),
            "-D",
            str(self.folder / "data"),
            "-U",
            "chiliad",
            "--pwfile",
            str(secret),
            "--no-sync",
        ]
        subprocess.run(
            [*_as_owner(), *made, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C"], check=True, capture_output=True
        )

    def start(self) -> None:
        options = ("-D", str(self.folder / "data"), "-k", str(self.folder), "-h", "127.0.0.1", "-p", str(self.port))
        with (self.folder / "log").open("ab") as log:
            command = [*_as_owner(), _program("postgres"), *options, "-c", "fsync=off"]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + START_S_MAX
        while True:
            try:
                self.admin("SELECT 1")
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def stop(self) -> None:
        """Drop every connection and end, as `pg_ctl stop -m fast` does."""
        assert self._process is not None
        subprocess.run(
            [*_as_owner(), _program("pg_ctl"), "stop", "-D", str(self.folder / "data"), "-m", "fast"],
            check=True, capture_output=True,
        )  # fmt: skip
        self._process.wait()

    def new_database(self) -> str:
        """The URL of an empty database that nobody else uses."""
        self._databases += 1
        self.admin(f"CREATE DATABASE test_{self._databases}")
        return self.url(f"test_{self._databases}")

    def url(self, database: str, *, user: str = "chiliad", password: str = ENCODED, port: int | None = None) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{port or self.port}/{database}"

    def admin(self, statement: str, database: str = "postgres") -> None:
        place = {"host": "127.0.0.1", "port": self.port, "user": "chiliad", "password": PASSWORD, "dbname": database}
        with psycopg.connect(**place, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def running() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="chiliad-pg-", ignore_cleanup_errors=True) as folder:
        server = Server(Path(folder))
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()


def missing() -> str | None:
    """Why no server can be started here; None if one can."""
    absent = [name for name in ("initdb", "postgres", "pg_ctl") if _found(name) is None]
    if absent:
        return f"needs PostgreSQL's {', '.join(absent)} (Debian: apt-get install postgresql)"
    if os.geteuid() == 0 and "postgres" not in {user.pw_name for user in pwd.getpwall()}:
        return "PostgreSQL does not run as root, and there is no user postgres"
    return None


def _found(name: str) -> str | None:
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or (str(debian[0]) if debian else None)


def _program(name: str) -> str:
    found = _found(name)
    assert found is not None, missing()
    return found


def _owner() -> tuple[int, int]:
    """Whom the server runs as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    user = pwd.getpwnam("postgres")
    return user.pw_uid, user.pw_gid


def _as_owner() -> list[str]:
    """Puts a command under its owner, and ends it with the tests, however they end."""
    user, group = _owner()
    switch = ["--reuid", str(user), "--regid", str(group), "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", "--pdeathsig", "INT", *switch]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
