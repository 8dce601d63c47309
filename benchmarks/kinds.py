"""Kinds of adapter on the same tasks: `CHILIAD_DATA=... python benchmarks/kinds.py --workspace kinds-ws --tasks 48 --json`.

Trains an expert of every kind (or of those in `--kinds lora-8,qlora-8-int4`) for every task, by the same way as `chiliad
train --many`, and answers the tasks' fixed test rows. What came of each expert is a file in its kind's workspace as soon as
it is known: killed or stopped, the same command goes on. Differences to LoRA are paired by task, with an interval over
tasks. Serving is measured at the end of each kind: one request to each of up to 32 experts, all in one batch, against the
same requests to the base, in turns.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import chiliad
from chiliad.adapters import AdapterKind
from chiliad.config import Precision
from chiliad.engine import Request, SamplingParams
from chiliad.metrics import bootstrap_interval
from chiliad.workspace import TrainOptions, Workspace
from chiliad.workspace.machine import machine
from chiliad.workspace.many import ManyReport

STUDIED = {
    "lora-8": TrainOptions(rank=8),
    "rslora-8": TrainOptions(rank=8, rslora=True),
    "shared-basis-8": TrainOptions(kind=AdapterKind.SHARED_BASIS, rank=8),
    "shared-basis-16": TrainOptions(kind=AdapterKind.SHARED_BASIS, rank=16),
    "ia3": TrainOptions(kind=AdapterKind.IA3),
}
BY_NAME = {
    "qlora-8-int8": TrainOptions(rank=8, base_precision=Precision.INT8),
    "qlora-8-int4": TrainOptions(rank=8, base_precision=Precision.INT4),
    "prefix-16": TrainOptions(kind=AdapterKind.PREFIX, virtual_tokens=16),
}
"""studied where they are named; prefixes need CHILIAD_NATIVE=0, and then all kinds are computed in PyTorch"""
ALL = STUDIED | BY_NAME
REFERENCE = "lora-8"
TASKS_MAX = 200
"""more in one go are `thousand.py`'s affair"""
SERVED_MAX = 32
NEW_TOKENS = 32
ROUNDS = 5

Task = dict[str, Any]


def main() -> None:
    options = _arguments()
    folder = os.environ.get("CHILIAD_DATA")
    if not folder:
        sys.exit("Set CHILIAD_DATA to the folder with the public data sets; this needs `thousand_tasks` in it.")
    tasks = tasks_of(Path(folder) / "thousand_tasks" / "tasks.jsonl.gz", options.tasks)
    scores: dict[str, dict[str, float]] = {}
    result: dict[str, Any] = {"tasks": len(tasks), "kinds": {}}
    for kind in options.kinds:
        settings = {"threads": options.threads} if options.threads else {}
        with closing(chiliad.open(options.workspace / kind, progress=sys.stderr.isatty(), **settings)) as workspace:
            report = _trained(workspace, kind, tasks, options)
            scores[kind] = {one.label: one.proof.score for one in report.outcomes if one.proof}
            result["kinds"][kind] = _figures(report) | _serving(workspace, report)
    for kind, found in result["kinds"].items():
        if REFERENCE in scores and kind != REFERENCE:
            found["points_against_lora"] = difference(scores[kind], scores[REFERENCE])
    result |= {"machine": machine(), "date": datetime.now(UTC).date().isoformat(), "command": " ".join(sys.argv)}
    print(json.dumps(result, indent=2) if options.json else _table(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--workspace", type=Path, default=Path("kinds-ws"), help="a folder with a workspace for each kind"
    )
    parser.add_argument("--tasks", type=int, default=48)
    parser.add_argument("--kinds", type=_kinds, default=list(STUDIED), help=f"with commas, of {', '.join(ALL)}")
    parser.add_argument("--learning-rate", type=float, help="for all of them, instead of each kind's own")
    parser.add_argument("--epochs", type=int, help="at most; by default by the number of rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not 1 <= options.tasks <= TASKS_MAX:
        parser.error(f"--tasks is 1 to {TASKS_MAX}")
    return options


def _kinds(text: str) -> list[str]:
    kinds = text.split(",")
    if unknown := set(kinds) - set(ALL):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))} is none of {', '.join(ALL)}")
    return kinds


def tasks_of(path: Path, count: int, *, skip: int = 0) -> list[Task]:
    """A mixture of families and sizes, always the same; `skip` leaves out the first of them."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        tasks = [json.loads(line) for line in file]
    return sorted(tasks, key=lambda task: sha256(task["task_id"].encode()).digest())[skip : skip + count]


def _trained(workspace: Workspace, kind: str, tasks: Sequence[Task], options: argparse.Namespace) -> ManyReport:
    chosen = replace(
        ALL[kind], baselines=False, seed=options.seed, epochs=options.epochs, learning_rate=options.learning_rate
    )
    rows = [
        {"expert": task["task_id"], "family": task["family"], "instruction": task["instruction"], **example}
        for task in tasks
        for example in task["examples"]
    ]
    return workspace.train_many(rows, title=kind, input="input", output="output", options=chosen)


def _figures(report: ManyReport) -> dict[str, Any]:
    made = [one.made for one in report.outcomes if one.made]
    return {
        "experts": len(made),
        "failed": len(report.failed),
        "mean_score": report.all.score,
        "bytes_per_expert": round(statistics.fmean(one.bytes for one in made)),
        "train_seconds": round(sum(one.seconds for one in made), 1),
    }


def _serving(workspace: Workspace, report: ManyReport) -> dict[str, Any]:
    """kept: of the speed of the base alone on the same prompts; the median of rounds that take turns."""
    names = [one.name for one in report.outcomes if one.made and one.name][:SERVED_MAX]
    experts = [workspace.expert(f"{name}@1") for name in names]
    engine = experts[0].served.engine
    sampling = SamplingParams(max_tokens=NEW_TOKENS)
    mixed = [
        replace(expert.request(f"Row {number} of a batch.", sampling), choices=None, eos_ids=frozenset())
        for number, expert in enumerate(experts)
    ]
    alone = [replace(request, adapter=None, share="") for request in mixed]

    def seconds(requests: Sequence[Request]) -> float:
        started = time.perf_counter()
        engine.generate(requests)
        return time.perf_counter() - started

    pairs = [(seconds(mixed), seconds(alone)) for _ in range(ROUNDS + 1)][1:]
    fastest = statistics.median(mixed for mixed, _ in pairs)
    return {
        "served_together": len(mixed),
        "new_tokens_per_second": round(len(mixed) * NEW_TOKENS / fastest),
        "kept": round(statistics.median(base / own for own, base in pairs), 3),
    }


def difference(scores: dict[str, float], reference: dict[str, float]) -> dict[str, float]:
    """Mean over tasks of score minus the reference's, in points."""
    points = [100 * (scores[task] - reference[task]) for task in scores if task in reference]
    interval = bootstrap_interval(points)
    return {"mean": round(statistics.fmean(points), 2), "low": round(interval.low, 2), "high": round(interval.high, 2)}


def _table(result: dict[str, Any]) -> str:
    columns = (
        "mean_score",
        "bytes_per_expert",
        "train_seconds",
        "new_tokens_per_second",
        "kept",
        "points_against_lora",
    )
    lines = ["kind  " + "  ".join(columns)]
    lines += [
        kind + "  " + "  ".join(str(one.get(column, "")) for column in columns) for kind, one in result["kinds"].items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
