"""A workspace on a tiny random base; the small embedder is the real one, from the user's cache."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from chiliad.base import BaseStore
from chiliad.config import Settings
from chiliad.workspace import TrainOptions, Workspace
from tests.base.tiny import write_folder

ROWS = [
    *((f"where is box {n}", "status") for n in range(24)),
    *((f"money back for {n}", "refund") for n in range(24)),
    *((f"lid {n} is broken", "damage") for n in range(24)),
]
QUICK = TrainOptions(rank=2, epochs=1, baselines=False)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of its own with one tiny base; embedders are shared with the user's cache, being large."""
    folder = tmp_path / "cache"
    folder.mkdir()
    shared = Settings.load(environ={}).cache_dir / "embedders"
    shared.mkdir(parents=True, exist_ok=True)
    (folder / "embedders").symlink_to(shared)
    BaseStore(folder).pull(str(write_folder(tmp_path / "tiny", max_position_embeddings=512)), name="tiny")
    return folder


@pytest.fixture
def settings(cache: Path, tmp_path: Path) -> Settings:
    return Settings.load(environ={}, workspace=tmp_path / "ws", cache_dir=cache, threads=1)


@pytest.fixture
def workspace(settings: Settings):
    with Workspace.open(settings) as workspace:
        yield workspace


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_table(tmp_path / "tickets.csv", ROWS)


def write_table(path: Path, rows) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path
