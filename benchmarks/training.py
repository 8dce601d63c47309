"""LoRA training speed and memory, ours and PEFT + transformers on the same rows: `python benchmarks/training.py --json`.

Both sides train rank 8 on all linear layers of the default base, on the same batches of the example tables in this
repository, each in a process of its own, in turns, so that a noisy machine hurts both. Tokens are counted without padding.
PEFT gets the better of two settings on a base in bf16, adapters in float32 or in bf16, and all that `peft_training.py` does
for it. Rows of a batch that begin alike share those tokens on our side: `computed_tokens_per_second` counts them once, all
other rates in every row.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from chiliad.base import DEFAULT_BASE, BaseStore
from chiliad.config import Precision, Settings
from chiliad.data import find_columns, read_table, to_examples
from chiliad.models import SITES, LlamaConfig, use_threads
from chiliad.training import Recipe, Row, Trainer
from chiliad.training.rows import cut, epoch_batches, make_batch
from chiliad.training.trainer import PASS_TOKENS_MAX
from chiliad.workspace.lessons import row_of
from chiliad.workspace.machine import machine
from chiliad.workspace.served_base import ServedBase

EXAMPLES = Path(__file__).parents[1] / "examples" / "support_desk"
TABLES = ("triage.csv", "orders.jsonl", "redact.csv", "tone.csv")
RECIPE = Recipe(rank=8, alpha=16.0, learning_rate=1e-3, rows_per_batch=16)
STEPS = 8
FLOP_PER_PARAMETER = 4
"""forward, and the gradient of the activations; a frozen matrix has no gradient of its own"""


def main() -> None:
    options = _arguments()
    use_threads(options.threads)
    if options.side:
        print(json.dumps(_measure(options.side)))
        return
    sides = [side for side in SIDES if options.peft or not side.startswith("peft")]
    sides = [side for side in sides if options.codes or not side.startswith("ours_")]
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(options.repeats):
        for side in sides:
            runs[side].append(_in_a_process(side, options.threads))
    result = _summary(runs, options.threads)
    print(json.dumps(result, indent=2) if options.json else "\n".join(f"{k:<32} {v}" for k, v in result.items()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--no-peft", dest="peft", action="store_false", help="measure our side alone")
    parser.add_argument("--codes", action="store_true", help="also with the base in codes of 8 and 4 bits")
    parser.add_argument("--side", choices=sorted(SIDES), help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_a_process(side: str, threads: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", side, "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    numbers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return numbers


def _measure(side: str) -> dict[str, float]:
    """Tokens a second over STEPS steps after two to warm up, the same for each second that a processor worked on it, which
    other work on the machine disturbs less, and the peak memory of this process."""
    served = ServedBase(BaseStore(Settings.load().cache_dir).get(DEFAULT_BASE), Settings.load())
    step = SIDES[side](served)
    batches = list(_batches(served))
    for batch in batches[:2]:
        step(batch)
    started, worked = time.perf_counter(), time.process_time()
    for batch in batches[2:]:
        step(batch)
    seconds, processor_seconds = time.perf_counter() - started, time.process_time() - worked
    tokens = sum(len(row.ids) - 1 for batch in batches[2:] for row in batch)
    computed = sum(
        len(make_batch(part).ids) for batch in batches[2:] for part in cut(batch, tokens_max=PASS_TOKENS_MAX)
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "tokens_per_second": tokens / seconds,
        "tokens_per_processor_second": tokens / processor_seconds,
        "computed_tokens_per_second": computed / seconds,
        "peak_gib": peak / 2**30,
        "tokens_per_step": tokens / STEPS,
    }


def _batches(served: ServedBase) -> Iterator[list[Row]]:
    rows = []
    for name in TABLES:
        table = read_table(EXAMPLES / name)
        examples = to_examples(table, find_columns(table, input=table.columns[0], output=table.columns[1]))
        rows += [row_of(example, served, served.expert_template) for example in examples]
    batches = epoch_batches(
        rows, rows_per_batch=RECIPE.rows_per_batch, tokens_max=RECIPE.batch_tokens_max, seed=RECIPE.seed
    )
    return iter(batches[: STEPS + 2])


def _ours(served: ServedBase, precision: Precision = Precision.BF16) -> Callable[[Sequence[Row]], None]:
    trainer = Trainer(served.model_in(precision))
    trainer.add("x", RECIPE.shape(), seed=0)

    def step(rows: Sequence[Row]) -> None:
        trainer.forward_backward({"x": rows})
        trainer.optim_step("x", learning_rate=RECIPE.learning_rate)

    return step


def _peft(served: ServedBase, dtype: torch.dtype) -> Callable[[Sequence[Row]], None]:
    from peft_training import Pupil, read_base

    pupil = Pupil(read_base(served.base.path), RECIPE, dtype)
    return lambda rows: pupil.step(rows, RECIPE.learning_rate)


def _summary(runs: dict[str, list[dict[str, float]]], threads: int) -> dict[str, Any]:
    speed = {side: statistics.median(run["tokens_per_second"] for run in group) for side, group in runs.items()}
    working = {
        side: statistics.median(run["tokens_per_processor_second"] for run in group) for side, group in runs.items()
    }
    peak = {side: max(run["peak_gib"] for run in group) for side, group in runs.items()}
    computed = statistics.median(run["computed_tokens_per_second"] for run in runs["ours"])
    flops = _matrix_flops()
    roofline = flops / (FLOP_PER_PARAMETER * _body_parameters())
    result: dict[str, Any] = {
        "tokens_per_second": round(speed["ours"]),
        "tokens_per_processor_second": round(working["ours"]),
        "tokens_per_second_all": [round(run["tokens_per_second"]) for run in runs["ours"]],
        "computed_tokens_per_second": round(computed),
        "peak_gib": round(peak["ours"], 2),
        "tokens_per_step": round(runs["ours"][0]["tokens_per_step"]),
        "matrix_gflops": round(flops / 1e9),
        "roofline_tokens_per_second": round(roofline),
        "roofline_share": round(computed / roofline, 2),
    }
    for side in speed:
        if side != "ours":
            result[f"{side}_tokens_per_second"] = round(speed[side])
            result[f"{side}_tokens_per_processor_second"] = round(working[side])
            result[f"{side}_peak_gib"] = round(peak[side], 2)
    peers = [side for side in speed if side.startswith("peft")]
    if peers:
        result["tokens_vs_peft"] = round(speed["ours"] / max(speed[side] for side in peers), 2)
        result["peak_memory_vs_peft"] = round(peak["ours"] / min(peak[side] for side in peers), 2)
    about = {
        "command": shlex.join(["python", *sys.argv]),
        "precision": "bf16 compute, float32 adapter state",
        "rank": RECIPE.rank,
        "threads": threads,
    }
    return {**result, **about, "machine": machine(), "date": datetime.now(UTC).date().isoformat()}


def _matrix_flops() -> float:
    """What a bf16 product of this model's shape reaches here, in FLOP/s: the best of thirty."""
    x, w = torch.randn(1024, 576, dtype=torch.bfloat16), torch.randn(1536, 576, dtype=torch.bfloat16)
    best = float("inf")
    for _ in range(30):
        started = time.perf_counter()
        torch.nn.functional.linear(x, w)
        best = min(best, time.perf_counter() - started)
    return 2 * 1024 * 576 * 1536 / best


def _body_parameters() -> int:
    base = BaseStore(Settings.load().cache_dir).get(DEFAULT_BASE)
    config = LlamaConfig.from_hf(base.config)
    widths = (config.widths(site) for site in SITES)
    return config.num_layers * sum(width_in * width_out for width_in, width_out in widths)


SIDES: dict[str, Callable[[ServedBase], Callable[[Sequence[Row]], None]]] = {
    "ours": _ours,
    "ours_int8": lambda served: _ours(served, Precision.INT8),
    "ours_int4": lambda served: _ours(served, Precision.INT4),
    "peft_float32": lambda served: _peft(served, torch.float32),
    "peft_bf16": lambda served: _peft(served, torch.bfloat16),
}

if __name__ == "__main__":
    main()
