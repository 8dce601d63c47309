"""What experts and the engine take of a process's memory: `serving.py --only memory` runs this in a fresh one."""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from pathlib import Path

import torch  # noqa: F401 - what importing it takes is not the engine's

EXPERTS, FIRST = 104, 8
"""experts of rank 8 on all linear layers, and how many of them are asked before anything counts"""


def main() -> None:
    with_torch = _resident()
    from serving_bench import Bench, request

    from chiliad.base import DEFAULT_BASE, BaseStore
    from chiliad.config import Precision, Settings

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--precision", type=Precision, default=Precision.BF16)
    options = parser.parse_args()
    base = BaseStore(Settings.load().cache_dir).get(DEFAULT_BASE)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(base, Path(folder), options.threads, options.precision, 1, None)
        files = bench.experts("memory", EXPERTS)
        before = _resident()
        with bench.engine(files) as engine:
            engine.generate([request(bench.prompt(100), 48, None) for _ in range(32)])
            running, held = _resident(), engine.memory
            engine.generate([request(bench.prompt(8), 2, expert) for expert in list(files)[:FIRST]])
            first, counted = _resident(), engine.memory.adapters
            engine.generate([request(bench.prompt(8), 2, expert) for expert in list(files)[FIRST:]])
            last, counted = _resident(), engine.memory.adapters - counted
        written = sum((folder / "adapter_model.safetensors").stat().st_size for folder in list(files.values())[FIRST:])
    print(
        json.dumps(
            {
                "cache_bytes_per_file_byte": round((last - first) / written, 3),
                "cache_bytes_per_file_byte_counted": round(counted / written, 3),
                "engine_mb": round((running - with_torch - held.weights - held.keys_values) / 1e6),
                "resident_mb": {
                    "torch": round(with_torch / 1e6),
                    "before_the_engine": round(before / 1e6),
                    "running": round(running / 1e6),
                    "weights": round(held.weights / 1e6),
                    "keys_values": round(held.keys_values / 1e6),
                },
            }
        )
    )


def _resident() -> int:
    """Bytes of memory that are this process's own, not a mapped file's."""
    told = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert told is not None
    return int(told[1]) << 10


if __name__ == "__main__":
    main()
