"""What weights in 8 and 4 bits cost and bring on the default base: `python benchmarks/precision.py --json`.

Quality: the next token's distribution after every token of rows of the support desk, beside that of bf16: Kullback-Leibler
divergence in nats, how often the likeliest token is the same one, and the perplexity. Speed: as in serving.py, one precision
after another in every round; all of them are loaded before anything counts.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import torch
from serving import decode_tok_s, prefill_tok_s
from torch import Tensor

from chiliad.adapters import AdapterHash
from chiliad.base import DEFAULT_BASE, Base, BaseStore
from chiliad.config import EngineSettings, Precision, Settings
from chiliad.engine import Engine
from chiliad.engine.native_runner import NativeRunner
from chiliad.engine.runner import Chunk, Logits, SequenceId
from chiliad.models import Llama, LlamaConfig, use_threads
from chiliad.workspace.machine import machine

TABLES = Path(__file__).parents[1] / "examples" / "support_desk"
TEXTS = {"triage.csv": "message", "tone.csv": "draft", "redact.csv": "message"}


@dataclass(frozen=True)
class Quality:
    """Against bf16, over all tokens but the first of each row."""

    kl_nats: float
    kl_nats_p99: float
    same_likeliest: float
    perplexity: float
    tokens: int


@dataclass(frozen=True)
class Loaded:
    runner: NativeRunner
    load_s: float


def main() -> None:
    options = _arguments()
    use_threads(options.threads)
    base = BaseStore(Settings.load().cache_dir).get(DEFAULT_BASE)
    model = Llama.load(base.path, LlamaConfig.from_hf(base.config))
    loaded = {precision: _load(model, base, precision) for precision in Precision}
    quality = _quality(loaded, list(_rows(base, options.rows)))
    memory = {precision: one.runner.weight_bytes for precision, one in loaded.items()}
    load_s = {precision: one.load_s for precision, one in loaded.items()}
    loaded.clear()
    speed = _speed(model, base, options)
    result = {
        precision: {
            **_rounded(asdict(quality[precision])),
            "weight_mb": round(memory[precision] / 1e6),
            "load_s": round(load_s[precision], 1),
            **_rounded(speed[precision]),
        }
        for precision in Precision
    }
    about = {"base": base.id, "threads": options.threads, "repeats": options.repeats, "machine": machine()}
    print(
        json.dumps(
            {**result, **about, "date": datetime.now(UTC).date().isoformat()}, indent=2 if options.json else None
        )
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=60, help="rows of each table that quality is measured on")
    parser.add_argument("--repeats", type=int, default=5, help="rounds after one to warm up; the median is reported")
    parser.add_argument("--tokens", type=int, default=64, help="new tokens of each sequence that decodes")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def _load(model: Llama, base: Base, precision: Precision) -> Loaded:
    started = time.perf_counter()
    runner = NativeRunner(model, EngineSettings(precision=precision), base.quantised())
    return Loaded(runner, time.perf_counter() - started)


def _rows(base: Base, count: int) -> Iterator[tuple[int, ...]]:
    """Conversations with a customer's words in them, as tokens."""
    tokenizer, template = base.tokenizer(), base.chat_template()
    for table, column in TEXTS.items():
        with (TABLES / table).open(encoding="utf-8", newline="") as file:
            for row in list(csv.DictReader(file))[:count]:
                yield tuple(tokenizer.encode(template.render([{"role": "user", "content": row[column]}])))


def _quality(loaded: dict[Precision, Loaded], rows: list[tuple[int, ...]]) -> dict[Precision, Quality]:
    kl: dict[Precision, list[Tensor]] = {precision: [] for precision in loaded}
    same: dict[Precision, list[Tensor]] = {precision: [] for precision in loaded}
    nll: dict[Precision, list[Tensor]] = {precision: [] for precision in loaded}
    for number, tokens in enumerate(rows):
        wanted = _logprobs(loaded[Precision.BF16].runner, number, tokens)
        for precision, one in loaded.items():
            got = wanted if precision is Precision.BF16 else _logprobs(one.runner, number, tokens)
            kl[precision].append((wanted.exp() * (wanted - got)).sum(-1))
            same[precision].append((wanted.argmax(-1) == got.argmax(-1)).float())
            nll[precision].append(-got[:-1].gather(1, torch.tensor(tokens[1:]).unsqueeze(1)))
    return {precision: _summed(torch.cat(kl[precision]), same[precision], nll[precision]) for precision in loaded}


def _summed(kl: Tensor, same: list[Tensor], nll: list[Tensor]) -> Quality:
    return Quality(
        kl_nats=float(kl.mean()),
        kl_nats_p99=float(kl.quantile(0.99)),
        same_likeliest=float(torch.cat(same).mean()),
        perplexity=float(torch.cat(nll).mean().exp()),
        tokens=len(kl),
    )


def _logprobs(runner: NativeRunner, number: int, tokens: tuple[int, ...]) -> Tensor:
    """[tokens, vocab] in double precision"""
    chunk = Chunk(SequenceId(number), tokens, 0, None, Logits.ALL)
    logprobs = runner.run([chunk]).double().log_softmax(-1)
    runner.release(chunk.sequence)
    return logprobs


def _speed(model: Llama, base: Base, options: argparse.Namespace) -> dict[Precision, dict[str, float]]:
    rounds: dict[Precision, list[dict[str, float]]] = {precision: [] for precision in Precision}
    with ExitStack() as running:
        engines = {
            precision: running.enter_context(_engine(model, base, precision, options)) for precision in Precision
        }
        for _ in range(options.repeats + 1):
            for precision, engine in engines.items():
                rounds[precision].append(_round(engine, options.tokens))
    return {
        precision: {key: statistics.median(one[key] for one in measured[1:]) for key in measured[0]}
        for precision, measured in rounds.items()
    }


def _engine(model: Llama, base: Base, precision: Precision, options: argparse.Namespace) -> Engine:
    settings = replace(EngineSettings(), precision=precision)
    return Engine(model, base.tokenizer(), _no_adapter, settings, quantised=base.quantised(), threads=options.threads)


def _no_adapter(adapter: AdapterHash) -> NoReturn:
    raise AssertionError(adapter)


def _round(engine: Engine, tokens: int) -> dict[str, float]:
    return {
        "decode_1_tok_s": decode_tok_s(engine, [None], tokens=tokens),
        "decode_32_tok_s": decode_tok_s(engine, [None] * 32, tokens=tokens),
        "prefill_tok_s": prefill_tok_s(engine),
    }


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {key: float(f"{value:.3g}") if value < 100 else round(value) for key, value in figures.items()}


if __name__ == "__main__":
    main()
