"""Rows of `serving.py` about how many experts there are, and about those that are not in memory yet."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serving_bench import Bench, Files, request

from chiliad.adapters import AdapterHash
from chiliad.adapters.files import CONFIG_NAME, WEIGHTS_NAME
from chiliad.engine import Engine

FEW, MANY = 10, 10_000
FLAT_ROUND = (64, 32)
"""requests in turns, at the same time"""
FLAT_CACHED = 40
"""adapters that fit into memory"""
COLD_EXPERTS = 24
COLD_PROMPT = 16
REST_S = 0.05


def flat(bench: Bench) -> dict[str, Any]:
    """Throughput with 10,000 registered experts over that with 10; ten different ones are in the batch either way.

    Rank 1 on q and v. With 10,000 each round asks ten that nobody asked before: they are read, and push others out.
    """
    files = bench.experts("many", MANY, rank=1, sites=("q_proj", "v_proj"))
    few = dict(list(files.items())[:FEW])
    cache = FLAT_CACHED * next(iter(files.values())).joinpath(WEIGHTS_NAME).stat().st_size
    together = {"batch_max": FLAT_ROUND[1], "adapter_cache_bytes": cache}
    kept = []
    fresh = iter(random.Random(0).sample(sorted(files), MANY))
    with bench.engine(few, **together) as small, bench.engine(files, **together) as large:
        for _ in range(bench.repeats + 1):
            ten = [next(fresh) for _ in range(FEW)]
            kept.append((_flat_tok_s(bench, small, list(few)), _flat_tok_s(bench, large, ten)))
    middle = [statistics.median(side) for side in zip(*kept[1:], strict=True)]
    return {
        "flat_10_to_10000": round(statistics.median(many / few for few, many in kept[1:]), 3),
        "registered_10_tok_s": round(middle[0]),
        "registered_10000_tok_s": round(middle[1]),
    }


def _flat_tok_s(bench: Bench, engine: Engine, experts: Sequence[AdapterHash]) -> float:
    """New tokens a second, prompts and reading included in the time."""
    count = FLAT_ROUND[0]
    requests = [request(bench.prompt(100), 48, experts[i % len(experts)]) for i in range(count)]
    started = time.perf_counter()
    engine.generate(requests)
    return 48 * count / (time.perf_counter() - started)


def cold(bench: Bench) -> dict[str, Any]:
    """First token of an expert that was never asked, over one that is in memory; the engine rests and answers once before.

    Rank 8 on all linear layers. Cached: its file is in the system's page cache; disk: it has been dropped from there.
    """
    files = bench.experts("cold", COLD_EXPERTS)
    result: dict[str, Any] = {"adapter_file_mb": round(_file_bytes(files) / len(files) / 1e6, 2)}
    for name, drop in (("cached", False), ("disk", True)):
        with bench.engine(files) as engine:
            _first_token_ms(bench, engine, None)
            for folder in files.values():
                _read_in(folder, drop=drop)
            cold_ms, warm_ms = zip(*(_cold_and_warm(bench, engine, one) for one in files), strict=True)
        result[f"cold_first_token_ms_{name}"] = round(statistics.median(cold_ms) - statistics.median(warm_ms), 1)
        result[f"cold_first_token_ms_{name}_worst"] = round(max(cold_ms) - statistics.median(warm_ms), 1)
        result["warm_first_token_ms"] = round(statistics.median(warm_ms), 1)
    return result


def _cold_and_warm(bench: Bench, engine: Engine, expert: AdapterHash) -> tuple[float, float]:
    return _first_token_ms(bench, engine, expert), _first_token_ms(bench, engine, expert)


def _first_token_ms(bench: Bench, engine: Engine, expert: AdapterHash | None) -> float:
    time.sleep(REST_S)
    for asked in (None, expert):  # the first wakes the processor up
        (completion,) = engine.generate([request(bench.prompt(COLD_PROMPT), 1, asked)])
    return 1e3 * completion.timing.first_token_s


def _read_in(folder: Path, *, drop: bool) -> None:
    """Have both files on disk, and in the page cache or not there."""
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        with (folder / name).open("rb") as file:
            file.read()
            os.fsync(file.fileno())
            if drop:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _file_bytes(files: Files) -> int:
    return sum((folder / WEIGHTS_NAME).stat().st_size for folder in files.values())


def memory(bench: Bench) -> dict[str, Any]:
    """What experts and the engine take, in a process of their own: see `serving_memory.py`."""
    script = Path(__file__).with_name("serving_memory.py")
    command = [sys.executable, script, "--threads", bench.threads, "--precision", bench.precision]
    told = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, Any] = json.loads(told)
    return result
