"""A row of `serving.py`: requests as they really came, for a thousand experts, some of them asked much more than others.

Arrivals and lengths are those of Azure's conversation trace (November 2023, github.com/Azure/AzurePublicDataset), lengths
divided by eight for a base this small, time pressed together to the wanted rate. Which expert a request is for follows
Zipf's law with exponent 1. Ours reads its experts from disk, with room for some 290 of them in memory; llama-server has
nothing to load adapters with while it runs and gets all thousand at its start. It answers over HTTP on this machine, ours in
this process.
"""

from __future__ import annotations

import csv
import gzip
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from threading import Event as Flag
from typing import Any

from llama_cpp import stream_tokens
from serving_bench import Bench, Files, request

from chiliad.adapters import AdapterHash
from chiliad.engine import Delta, Event, Failed

EXPERTS = 1_000
SITES = ("q_proj", "v_proj")
CACHE_BYTES = 256 << 20
SECONDS = 25
RATES = (2.0, 6.0)
"""requests a second"""
LENGTH_DIVISOR = 8
PROMPT_MAX, ANSWER_MAX = 512, 128
PEER_FORMAT, PEER_SLOTS = "Q4_0", 32
"""in which llama.cpp is quickest with adapters, and how many requests it has under way"""


@dataclass(frozen=True)
class Arrival:
    at_s: float
    prompt: tuple[int, ...]
    new: int
    expert: int


@dataclass
class Answer:
    """When its tokens came, on the clock of the replay."""

    arrival: Arrival
    times_s: list[float] = field(default_factory=list)


def trace(bench: Bench) -> dict[str, Any]:
    files = bench.experts("trace", EXPERTS, sites=SITES)
    result: dict[str, Any] = {
        "load": f"Azure conversation trace, {SECONDS} s at each rate, lengths / {LENGTH_DIVISOR}",
        "experts": f"{EXPERTS} of rank 8 on {' and '.join(SITES)}, Zipf 1.0",
        "precision": f"{bench.precision} against {PEER_FORMAT}",
    }
    for rate in RATES:
        arrivals = _arrivals(bench, rate)
        sides = {"chiliad": _told(_ours(bench, files, arrivals))}
        if bench.peer:
            sides["llama_cpp"] = _told(_theirs(bench, list(files.values()), arrivals))
        result[f"{rate:g}_requests_s"] = {"requests": len(arrivals), **sides}
    return {"trace": result}


def _arrivals(bench: Bench, rate: float) -> list[Arrival]:
    """The trace's first requests, as many as come in `SECONDS` at this rate."""
    folder = os.environ.get("CHILIAD_DATA")
    if not folder:
        sys.exit("Set CHILIAD_DATA to the folder with the public data sets; this needs `azure_llm_trace` in it.")
    with gzip.open(Path(folder) / "azure_llm_trace" / "conv.csv.gz", "rt") as file:
        rows = [row for row, _ in zip(csv.DictReader(file), range(round(rate * SECONDS)), strict=False)]
    times = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows]
    pace = SECONDS / (times[-1] - times[0])
    draw = random.Random(0)
    experts = draw.choices(range(EXPERTS), [1 / (1 + place) for place in range(EXPERTS)], k=len(rows))
    return [
        Arrival(
            (at - times[0]) * pace,
            bench.prompt(min(PROMPT_MAX, max(4, int(row["ContextTokens"]) // LENGTH_DIVISOR))),
            min(ANSWER_MAX, max(2, int(row["GeneratedTokens"]) // LENGTH_DIVISOR)),
            expert,
        )
        for row, at, expert in zip(rows, times, experts, strict=True)
    ]


def _ours(bench: Bench, files: Files, arrivals: Sequence[Arrival]) -> list[Answer]:
    adapters: list[AdapterHash] = list(files)
    answers = [Answer(arrival) for arrival in arrivals]
    with bench.engine(files, adapter_cache_bytes=CACHE_BYTES) as engine:
        engine.generate([request(bench.prompt(16), 2, None)])
        done = [Flag() for _ in arrivals]

        def start(number: int, elapsed_s: Callable[[], float]) -> None:
            asked = answers[number].arrival
            heard = partial(_hear, answers[number], done[number], elapsed_s)
            engine.submit(request(asked.prompt, asked.new, adapters[asked.expert]), heard)

        _replay(arrivals, start)
        for flag in done:
            flag.wait()
    return answers


def _hear(answer: Answer, done: Flag, elapsed_s: Callable[[], float], event: Event) -> None:
    if isinstance(event, Failed):
        raise event.error
    if isinstance(event, Delta):
        answer.times_s += [elapsed_s()] * len(event.tokens)
    else:
        done.set()


def _theirs(bench: Bench, adapters: Sequence[Path], arrivals: Sequence[Arrival]) -> list[Answer]:
    assert bench.peer is not None
    bench.peer.convert_base(bench.base.path, [PEER_FORMAT])
    bench.peer.convert_alike(bench.base.path, adapters)
    answers = [Answer(arrival) for arrival in arrivals]
    context = PROMPT_MAX + ANSWER_MAX
    with (
        bench.peer.serving(PEER_FORMAT, adapters, slots=PEER_SLOTS, context=context) as client,
        ThreadPoolExecutor(len(arrivals)) as pool,
    ):
        list(stream_tokens(client, bench.prompt(16), None, 2))

        def ask(number: int, elapsed_s: Callable[[], float]) -> None:
            asked = answers[number].arrival
            for count in stream_tokens(client, asked.prompt, asked.expert, asked.new):
                answers[number].times_s += [elapsed_s()] * count

        asked = []
        _replay(arrivals, lambda number, elapsed_s: asked.append(pool.submit(ask, number, elapsed_s)))
        for one in asked:
            one.result()
    return answers


def _replay(arrivals: Sequence[Arrival], start: Callable[[int, Callable[[], float]], None]) -> None:
    """Start every request when it is due."""
    begun = time.perf_counter()

    def elapsed_s() -> float:
        return time.perf_counter() - begun

    for number, arrival in enumerate(arrivals):
        time.sleep(max(0.0, arrival.at_s - elapsed_s()))
        start(number, elapsed_s)


def _told(answers: Sequence[Answer]) -> dict[str, Any]:
    first = [1e3 * (one.times_s[0] - one.arrival.at_s) for one in answers]
    gaps = [1e3 * (later - earlier) for one in answers for earlier, later in pairwise(one.times_s)]
    tokens = sum(len(one.times_s) for one in answers)
    return {
        "new_tok_s": round(tokens / max(one.times_s[-1] for one in answers), 1),
        "first_token_ms_p50": round(statistics.median(first)),
        "first_token_ms_p99": round(statistics.quantiles(first, n=100)[98]),
        "per_token_ms_p50": round(statistics.median(gaps), 1),
        "per_token_ms_p99": round(statistics.quantiles(gaps, n=100)[98], 1),
    }
