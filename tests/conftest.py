"""What every test may use: one compute thread, and a small machine of its own (see `tests/tiny.py`)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from chiliad.config import Settings


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
