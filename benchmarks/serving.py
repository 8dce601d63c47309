"""Serving speed of the engine on the default base: `python benchmarks/serving.py --json`.

Decoding is timed from the moment when all sequences decode until the first one ends. `mixed_32` is end to end: 32 requests
of 100 prompt tokens and 48 new ones, each with its own LoRA of rank 8 on all linear layers, read from its file in the first
round. `kept_lora_32` compares it with the same requests without adapters, in the same engine at the same precision, in
turns. Prompts are random and new in every round; nothing is cached between requests.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch

from chiliad.adapters import AdapterHash, LoraShape, load_adapter, save_adapter
from chiliad.base import DEFAULT_BASE, Base, BaseStore
from chiliad.config import EngineSettings, Settings
from chiliad.engine import Delta, Engine, Event, Request, RequestId, SamplingParams
from chiliad.models import SITES, Llama, LlamaConfig, use_threads
from chiliad.workspace.machine import machine

SHAPE = LoraShape(rank=8, alpha=16.0, rslora=False, targets=SITES)
EXPERTS = 32
PREFILL = (16, 256)
"""requests, tokens of each"""


def main() -> None:
    options = _arguments()
    use_threads(options.threads)
    base = BaseStore(Settings.load().cache_dir).get(DEFAULT_BASE)
    with tempfile.TemporaryDirectory() as folder:
        experts = _experts(base, Path(folder), EXPERTS)
        model = Llama.load(base.path, LlamaConfig.from_hf(base.config))
        load = partial(_load, experts)
        with Engine(model, base.tokenizer(), load, EngineSettings(), threads=options.threads) as engine:
            rounds = [_round(engine, list(experts)) for _ in range(options.repeats + 1)]
    result = _summary(rounds[1:], options.threads)
    print(json.dumps(result, indent=2) if options.json else "\n".join(f"{k:<24} {v}" for k, v in result.items()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=5, help="rounds after one to warm up; the median is reported")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
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


def _round(engine: Engine, experts: Sequence[AdapterHash]) -> dict[str, float]:
    alike, mixed = [None] * EXPERTS, list(experts)
    result = {
        "decode_1_tok_s": decode_tok_s(engine, [None]),
        "decode_32_tok_s": decode_tok_s(engine, alike),
        "decode_32_lora_tok_s": decode_tok_s(engine, mixed),
        "base_32_tok_s": _answer(engine, alike),
        "mixed_32_tok_s": _answer(engine, mixed),
        "shared_32_tok_s": _answer(engine, mixed[:1] * EXPERTS),
        "prefill_tok_s": prefill_tok_s(engine),
    }
    result["kept_lora_32"] = result["mixed_32_tok_s"] / result["base_32_tok_s"]
    return result


def decode_tok_s(
    engine: Engine, adapters: Sequence[AdapterHash | None], *, prompt: int = 16, tokens: int = 64
) -> float:
    """New tokens a second while all sequences decode."""
    events: SimpleQueue[tuple[int, float, Event]] = SimpleQueue()

    def note(number: int, event: Event) -> None:
        events.put((number, time.perf_counter(), event))

    for number, adapter in enumerate(adapters):
        engine.submit(_request(engine, adapter, prompt, tokens), partial(note, number))
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


def _answer(engine: Engine, adapters: Sequence[AdapterHash | None]) -> float:
    """New tokens a second, prompts included in the time."""
    return _timed(
        lambda: engine.generate([_request(engine, adapter, 100, 48) for adapter in adapters]), 48 * len(adapters)
    )


def prefill_tok_s(engine: Engine) -> float:
    """Prompt tokens a second, for one new token each."""
    requests, tokens = PREFILL
    return _timed(
        lambda: engine.generate([_request(engine, None, tokens, 1) for _ in range(requests)]), requests * tokens
    )


def _timed(work: Callable[[], object], tokens: int) -> float:
    started = time.perf_counter()
    work()
    return tokens / (time.perf_counter() - started)


def _request(engine: Engine, adapter: AdapterHash | None, prompt: int, tokens: int) -> Request:
    ids = tuple(random.randrange(engine.vocab_size) for _ in range(prompt))
    return Request(RequestId("benchmark"), ids, SamplingParams(max_tokens=tokens), adapter)


def _summary(rounds: list[dict[str, float]], threads: int) -> dict[str, Any]:
    middle = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
    result: dict[str, Any] = {key: round(value, 2 if value < 10 else 0) for key, value in middle.items()}
    result["mixed_32_tok_s_all"] = [round(one["mixed_32_tok_s"]) for one in rounds]
    about = {"base": DEFAULT_BASE, "precision": "bf16", "rank": SHAPE.rank, "threads": threads, "repeats": len(rounds)}
    return {**result, **about, "machine": machine(), "date": datetime.now(UTC).date().isoformat()}


if __name__ == "__main__":
    main()
