"""Serving speed of the engine on the default base: `python benchmarks/serving.py --json`.

Decoding is timed from the moment when all sequences decode until the first one ends. `mixed_32` is end to end: 32 requests
of 100 prompt tokens and 48 new ones, each with its own LoRA of rank 8 on all linear layers, read from its file in the first
round. `kept_lora_32` compares it with the same requests without adapters, in the same engine at the same precision, in
turns. Prompts are random and new in every round; nothing is cached between requests.

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
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch
from llama_cpp import FORMATS, LlamaCpp, answers_per_second

from chiliad.adapters import AdapterHash, LoraShape, load_adapter, save_adapter
from chiliad.base import DEFAULT_BASE, Base, BaseStore
from chiliad.config import EngineSettings, Precision, Settings
from chiliad.engine import Delta, Engine, Event, Request, RequestId, SamplingParams
from chiliad.models import SITES, Llama, LlamaConfig, use_threads
from chiliad.workspace.machine import machine

SHAPE = LoraShape(rank=8, alpha=16.0, rslora=False, targets=SITES)
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
        work = Path(folder)
        experts = _experts(base, work, EXPERTS)
        model = Llama.load(base.path, LlamaConfig.from_hf(base.config))
        load, settings = partial(_load, experts), EngineSettings(prefix_cache_bytes=0, precision=options.precision)
        peer = LlamaCpp(options.llama_server, work, options.threads) if options.llama_server else None
        if peer:
            peer.convert(base.path, list(experts.values()))
        ours, theirs = [], []
        codes = base.quantised()
        with Engine(model, base.tokenizer(), load, settings, quantised=codes, threads=options.threads) as engine:
            for number in range(options.repeats + 1):
                prompts = [_prompt(engine, ANSWER[0]) for _ in range(EXPERTS)]
                ours.append(_round(engine, list(experts), prompts))
                if peer and number:  # the first round warms our side up
                    theirs.append({kind: _peer_round(peer, kind, list(experts.values()), prompts) for kind in FORMATS})
    result = _summary(ours[1:], theirs, options.precision, options.threads)
    print(json.dumps(result, indent=2) if options.json else "\n".join(f"{k:<24} {v}" for k, v in result.items()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=5, help="rounds after one to warm up; the median is reported")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--precision", type=Precision, default=Precision.BF16, help="in which the base is computed: bf16, int8 or int4"
    )
    parser.add_argument(
        "--llama-server", type=Path, metavar="PATH", help="measure llama.cpp beside, by this program of it"
    )
    return parser.parse_args()


def _experts(base: Base, folder: Path, count: int) -> dict[AdapterHash, Path]:
    """Random adapters as files, each with another content hash."""
    config = LlamaConfig.from_hf(base.config)
    experts = {}
    for seed in range(count):
        target = folder / str(seed)
        target.mkdir()
        generator = torch.Generator().manual_seed(seed)
        factors = {
            (i, site): _factors(*config.widths(site), generator) for i in range(config.num_layers) for site in SITES
        }
        digest = save_adapter(target, SHAPE, factors, base_id=base.id, base_fingerprint=base.fingerprint)
        experts[digest] = target
    return experts


def _factors(width_in: int, width_out: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    a = torch.randn(SHAPE.rank, width_in, generator=generator) * width_in**-0.5
    return a, torch.randn(width_out, SHAPE.rank, generator=generator) * 0.01


def _load(experts: dict[AdapterHash, Path], adapter: AdapterHash) -> Any:
    return load_adapter(experts[adapter])


def _round(engine: Engine, experts: Sequence[AdapterHash], prompts: Prompts) -> dict[str, float]:
    alike, mixed = [None] * EXPERTS, list(experts)
    result = {
        "decode_1_tok_s": decode_tok_s(engine, [None]),
        "decode_32_tok_s": decode_tok_s(engine, alike),
        "decode_32_lora_tok_s": decode_tok_s(engine, mixed),
        "base_32_tok_s": _answer(engine, alike, prompts),
        "mixed_32_tok_s": _answer(engine, mixed, prompts),
        "shared_32_tok_s": _answer(engine, mixed[:1] * EXPERTS, prompts),
        "prefill_tok_s": prefill_tok_s(engine),
    }
    result["kept_lora_32"] = result["mixed_32_tok_s"] / result["base_32_tok_s"]
    return result


def _peer_round(peer: LlamaCpp, kind: str, adapters: Sequence[Path], prompts: Prompts) -> dict[str, float]:
    alike, mixed, new = [0] * len(adapters), range(len(adapters)), ANSWER[1]
    with peer.serving(kind, adapters) as client:
        answers_per_second(client, prompts[:1], [None], new)
        served = {
            "mixed_32_tok_s": answers_per_second(client, prompts, mixed, new),
            "shared_32_tok_s": answers_per_second(client, prompts, alike, new),
        }
    return {**served, **peer.speeds(kind)}


def decode_tok_s(
    engine: Engine, adapters: Sequence[AdapterHash | None], *, prompt: int = 16, tokens: int = 64
) -> float:
    """New tokens a second while all sequences decode."""
    events: SimpleQueue[tuple[int, float, Event]] = SimpleQueue()

    def note(number: int, event: Event) -> None:
        events.put((number, time.perf_counter(), event))

    for number, adapter in enumerate(adapters):
        engine.submit(_request(_prompt(engine, prompt), tokens, adapter), partial(note, number))
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
    requests = [_request(prompt, new, adapter) for prompt, adapter in zip(prompts, adapters, strict=True)]
    return _timed(lambda: engine.generate(requests), new * len(requests))


def prefill_tok_s(engine: Engine) -> float:
    """Prompt tokens a second, for one new token each."""
    count, tokens = PREFILL
    requests = [_request(_prompt(engine, tokens), 1, None) for _ in range(count)]
    return _timed(lambda: engine.generate(requests), count * tokens)


def _timed(work: Callable[[], object], tokens: int) -> float:
    started = time.perf_counter()
    work()
    return tokens / (time.perf_counter() - started)


def _prompt(engine: Engine, tokens: int) -> tuple[int, ...]:
    return tuple(random.randrange(engine.vocab_size) for _ in range(tokens))


def _request(prompt: tuple[int, ...], new: int, adapter: AdapterHash | None) -> Request:
    return Request(RequestId("benchmark"), prompt, SamplingParams(max_tokens=new), adapter)


def _summary(
    ours: list[dict[str, float]], theirs: list[dict[str, dict[str, float]]], precision: Precision, threads: int
) -> dict[str, Any]:
    middle = _medians(ours)
    result: dict[str, Any] = {key: round(value, 2 if value < 10 else 0) for key, value in middle.items()}
    result["mixed_32_tok_s_all"] = [round(one["mixed_32_tok_s"]) for one in ours]
    if theirs:
        result |= _beside({kind: _medians([one[kind] for one in theirs]) for kind in FORMATS}, middle)
    about = {
        "base": DEFAULT_BASE,
        "precision": str(precision),
        "rank": SHAPE.rank,
        "threads": threads,
        "repeats": len(ours),
    }
    return {**result, **about, "machine": machine(), "date": datetime.now(UTC).date().isoformat()}


def _beside(peer: Mapping[str, Mapping[str, float]], ours: Mapping[str, float]) -> dict[str, Any]:
    """Ratios to the best of the peer's formats in each row, and all that it measured."""
    result: dict[str, Any] = {}
    for ratio, row in PEER_ROWS.items():
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
