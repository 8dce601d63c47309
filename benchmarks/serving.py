"""Serving speed of the engine on the default base: `python benchmarks/serving.py --json`.

Decoding is timed from the moment when all sequences decode until the first one ends. `mixed_32` is end to end: 32 requests
of 100 prompt tokens and 48 new ones, each with its own LoRA of rank 8 on all linear layers, read from its file in the first
round. `kept_lora_32` compares it with the same requests without adapters, in the same engine at the same precision, in
turns; so does `kept_shared_basis_32` for as many experts of the kind shared-basis, rank 8. Prompts are random and new in
every round; nothing is cached between requests.

With `--llama-server PATH` llama.cpp does the same work in turns with ours, on the same prompts and adapters, in whichever of
its formats is the quickest for each row. benchmarks/README.md tells how to build it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from llama_cpp import FORMATS, LlamaCpp, answers_per_second
from serving_bench import Bench, request
from serving_experts import cold, flat, memory
from serving_trace import trace

from chiliad.adapters import AdapterHash
from chiliad.base import DEFAULT_BASE, BaseStore
from chiliad.config import Precision, Settings
from chiliad.engine import Delta, Engine, Event
from chiliad.models import use_threads
from chiliad.workspace.machine import machine

EXPERTS = 32
PREFILL = (16, 256)
"""requests, tokens of each"""
ANSWER = (100, 48)
"""prompt tokens, new tokens"""
PEER_ROWS = {
    "decode_1_vs_llama_cpp": "decode_1_tok_s",
    "decode_32_vs_llama_cpp": "decode_32_tok_s",
    "prefill_vs_llama_cpp": "prefill_tok_s",
    "mixed_32_vs_llama_cpp": "mixed_32_tok_s",
    "shared_32_vs_llama_cpp": "shared_32_tok_s",
}

Prompts = list[tuple[int, ...]]


def main() -> None:
    options = _arguments()
    use_threads(options.threads)
    base = BaseStore(Settings.load().cache_dir).get(DEFAULT_BASE)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(base, Path(folder), options.threads, options.precision, options.repeats, options.llama_server)
        result = _speed(bench, options.only & SPEED.keys()) if options.only & SPEED.keys() else {}
        for name in [name for name in OTHERS if name in options.only]:
            result |= OTHERS[name](bench)
    about = {
        "base": DEFAULT_BASE,
        "precision": str(options.precision),
        "threads": options.threads,
        "repeats": options.repeats,
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    result |= about
    print(json.dumps(result, indent=2) if options.json else "\n".join(f"{k:<24} {v}" for k, v in result.items()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    every = {*SPEED, *OTHERS}
    parser.add_argument(
        "--only",
        type=lambda told: set(told.split(",")),
        default=every,
        metavar="ROWS",
        help=f"some of {', '.join(sorted(every))}, with commas",
    )
    parser.add_argument("--repeats", type=int, default=5, help="rounds after one to warm up; the median is reported")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--precision", type=Precision, default=Precision.BF16, help="in which the base is computed: bf16, int8 or int4"
    )
    parser.add_argument(
        "--llama-server", type=Path, metavar="PATH", help="measure llama.cpp beside, by this program of it"
    )
    options = parser.parse_args()
    if not options.only <= every:
        parser.error(f"there are no rows {', '.join(sorted(options.only - every))}")
    return options


def _speed(bench: Bench, rows: Iterable[str]) -> dict[str, Any]:
    """Rounds of ours and theirs in turns."""
    files, small = bench.experts("mixed", EXPERTS), bench.small_experts("small", EXPERTS)
    folders = list(files.values())
    if bench.peer:
        bench.peer.convert_base(bench.base.path)
        bench.peer.convert(bench.base.path, folders)
    ours, theirs = [], []
    with bench.engine(files | small) as engine:
        for number in range(bench.repeats + 1):
            round_ = Round(bench, engine, list(files), list(small), [bench.prompt(ANSWER[0]) for _ in range(EXPERTS)])
            ours.append({key: value for row in rows for key, value in SPEED[row](round_).items()})
            if bench.peer and number:  # the first round warms our side up
                theirs.append({kind: _peer_round(bench.peer, kind, folders, round_.prompts, rows) for kind in FORMATS})
    return _summary(ours[1:], theirs)


@dataclass(frozen=True)
class Round:
    bench: Bench
    engine: Engine
    experts: list[AdapterHash]
    small: list[AdapterHash]
    """of the kind shared-basis"""
    prompts: Prompts


def _decode(one: Round) -> dict[str, float]:
    return {
        "decode_1_tok_s": decode_tok_s(one.engine, [None]),
        "decode_32_tok_s": decode_tok_s(one.engine, [None] * EXPERTS),
        "decode_32_lora_tok_s": decode_tok_s(one.engine, one.experts),
    }


def _answers(one: Round) -> dict[str, float]:
    base = _answer(one.engine, [None] * EXPERTS, one.prompts)
    mixed = _answer(one.engine, one.experts, one.prompts)
    shared = _answer(one.engine, one.experts[:1] * EXPERTS, one.prompts)
    small = _answer(one.engine, one.small, one.prompts)
    return {
        "base_32_tok_s": base,
        "mixed_32_tok_s": mixed,
        "shared_basis_32_tok_s": small,
        "shared_32_tok_s": shared,
        "kept_lora_32": mixed / base,
        "kept_shared_basis_32": small / base,
    }


def _prefill(one: Round) -> dict[str, float]:
    return {"prefill_tok_s": prefill_tok_s(one.engine)}


SPEED: Mapping[str, Callable[[Round], dict[str, float]]] = {
    "decode": _decode,
    "prefill": _prefill,
    "answers": _answers,
}
OTHERS: Mapping[str, Callable[[Bench], dict[str, Any]]] = {
    "flat": flat,
    "cold": cold,
    "memory": memory,
    "trace": trace,
}


def _peer_round(
    peer: LlamaCpp, kind: str, adapters: Sequence[Path], prompts: Prompts, rows: Iterable[str]
) -> dict[str, float]:
    alike, mixed, new = [0] * len(adapters), range(len(adapters)), ANSWER[1]
    speeds = peer.speeds(kind) if {"decode", "prefill"} & set(rows) else {}
    if "answers" not in rows:
        return speeds
    with peer.serving(kind, adapters, slots=len(adapters)) as client:
        answers_per_second(client, prompts[:1], [None], new)
        served = {
            "mixed_32_tok_s": answers_per_second(client, prompts, mixed, new),
            "shared_32_tok_s": answers_per_second(client, prompts, alike, new),
        }
    return {**served, **speeds}


def decode_tok_s(
    engine: Engine, adapters: Sequence[AdapterHash | None], *, prompt: int = 16, tokens: int = 64
) -> float:
    """New tokens a second while all sequences decode."""
    events: SimpleQueue[tuple[int, float, Event]] = SimpleQueue()

    def note(number: int, event: Event) -> None:
        events.put((number, time.perf_counter(), event))

    for number, adapter in enumerate(adapters):
        engine.submit(request(_prompt(engine, prompt), tokens, adapter), partial(note, number))
    produced = dict.fromkeys(range(len(adapters)), 0)
    started, last, counted = 0.0, 0.0, 0
    while True:
        number, now, event = events.get()
        if not isinstance(event, Delta):
            break
        produced[number] += len(event.tokens)
        if started:
            counted, last = counted + len(event.tokens), now
        elif all(produced.values()):
            started = now
    _drain(events, len(adapters) - 1)
    return counted / (last - started)


def _drain(events: SimpleQueue[tuple[int, float, Event]], running: int) -> None:
    while running:
        running -= not isinstance(events.get()[2], Delta)


def _answer(engine: Engine, adapters: Sequence[AdapterHash | None], prompts: Prompts) -> float:
    """New tokens a second, prompts included in the time."""
    new = ANSWER[1]
    requests = [request(prompt, new, adapter) for prompt, adapter in zip(prompts, adapters, strict=True)]
    return _timed(lambda: engine.generate(requests), new * len(requests))


def prefill_tok_s(engine: Engine) -> float:
    """Prompt tokens a second, for one new token each."""
    count, tokens = PREFILL
    requests = [request(_prompt(engine, tokens), 1, None) for _ in range(count)]
    return _timed(lambda: engine.generate(requests), count * tokens)


def _timed(work: Callable[[], object], tokens: int) -> float:
    started = time.perf_counter()
    work()
    return tokens / (time.perf_counter() - started)


def _prompt(engine: Engine, tokens: int) -> tuple[int, ...]:
    return tuple(random.randrange(engine.vocab_size) for _ in range(tokens))


def _summary(ours: list[dict[str, float]], theirs: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    middle = _medians(ours)
    result: dict[str, Any] = {key: round(value, 2 if value < 10 else 0) for key, value in middle.items()}
    if "mixed_32_tok_s" in middle:
        result["mixed_32_tok_s_all"] = [round(one["mixed_32_tok_s"]) for one in ours]
    if theirs:
        result |= _beside({kind: _medians([one[kind] for one in theirs]) for kind in FORMATS}, middle)
    return result


def _beside(peer: Mapping[str, Mapping[str, float]], ours: Mapping[str, float]) -> dict[str, Any]:
    """Ratios to the best of the peer's formats in each row, and all that it measured."""
    result: dict[str, Any] = {}
    for ratio, row in PEER_ROWS.items():
        if row not in ours or row not in peer[FORMATS[0]]:
            continue
        best = max(peer, key=lambda kind: peer[kind][row])
        result[ratio] = round(ours[row] / peer[best][row], 2)
        result[f"{ratio}_format"] = best
    return {
        **result,
        "llama_cpp": {kind: {row: round(value) for row, value in rows.items()} for kind, rows in peer.items()},
    }


def _medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


if __name__ == "__main__":
    main()
