from __future__ import annotations

from pathlib import Path

import pytest

from chiliad.base import DEFAULT_BASE, Base, BaseStore
from chiliad.config import Settings
from chiliad.errors import BaseNotFound
from tests.base.tiny import write_folder, write_gguf


@pytest.fixture
def store(tmp_path: Path) -> BaseStore:
    return BaseStore(tmp_path / "cache")


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "tiny.gguf")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "tiny")


@pytest.fixture(scope="session")
def real_base() -> Base:
    try:
        return BaseStore(Settings.load().cache_dir).get(DEFAULT_BASE)
    except BaseNotFound as missing:
        pytest.skip(str(missing))
