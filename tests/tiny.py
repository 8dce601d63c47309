"""A machine in small: a cache with one tiny random base, and a table that an expert can be trained on in a second."""

import csv
import os
import signal
from pathlib import Path

from chiliad.base import BaseStore
from chiliad.config import Settings
from chiliad.workspace import TrainOptions
from tests.base.tiny import write_folder

ROWS = [
    *((f"where is box {n}", "status") for n in range(24)),
    *((f"money back for {n}", "refund") for n in range(24)),
    *((f"lid {n} is broken", "damage") for n in range(24)),
]
QUICK = TrainOptions(rank=2, epochs=1, baselines=False)


def make_cache(folder: Path) -> Path:
    """A cache with the base `tiny`. Embedders are shared with the user's cache, being large."""
    cache = folder / "cache"
    cache.mkdir()
    shared = Settings.load(environ={}).cache_dir / "embedders"
    shared.mkdir(parents=True, exist_ok=True)
    (cache / "embedders").symlink_to(shared)
    BaseStore(cache).pull(str(write_folder(folder / "tiny", max_position_embeddings=512)), name="tiny")
    return cache


def write_table(path: Path, rows=ROWS, header=("text", "label")) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """What a process of its own needs to work on the same small machine, and no other setting of the user."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHILIAD_")}
    return {
        **kept,
        "CHILIAD_CACHE": str(settings.cache_dir),
        "CHILIAD_WORKSPACE": str(settings.workspace),
        "CHILIAD_THREADS": "1",
        **more,
    }


def as_in_a_terminal():
    """A process that was started in the background would pass on that Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
