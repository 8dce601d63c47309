"""What every test may use: one compute thread, and a small machine of its own (see `tests/tiny.py`)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chiliad.config import Settings
from chiliad.store import sqlite_url
from tests.postgres import Server, missing, running


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tests run side by side; each gets one core."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny import make_cache

    return make_cache(tmp_path_factory.mktemp("machine"))


@pytest.fixture
def cache(_cache: Path, tmp_path: Path) -> Path:
    """A base cache of one's own with the base `tiny`."""
    return Path(shutil.copytree(_cache, tmp_path / "cache", symlinks=True))


@pytest.fixture
def settings(cache: Path, tmp_path: Path) -> Settings:
    return Settings.load(environ={}, workspace=tmp_path / "ws", cache_dir=cache, threads=1)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A file to train on: three labels, 72 rows."""
    from tests.tiny import write_table

    return write_table(tmp_path / "tickets.csv")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server of this test session's own. Skips where there is none, unless POSTGRES_TESTS=required."""
    reason = missing()
    if reason and os.environ.get("POSTGRES_TESTS") == "required":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    with running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "ws" / "chiliad.db")
    server: Server = request.getfixturevalue("postgres")
    return server.new_database()
