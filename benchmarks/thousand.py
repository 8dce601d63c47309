"""A thousand experts in shards: `CHILIAD_DATA=... python benchmarks/thousand.py --workspace thousand-ws --shards 1`.

Trains and evaluates the tasks of `thousand_tasks`, each with its fixed test rows and beside its baselines. A shard is at
most 60 tasks, always the same ones; its report is written to docs/results/thousand/ as soon as it is done, and shards that
have one are passed over. Killed or stopped, the same command goes on within a shard. Nothing of the data is kept but scores.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import chiliad
from chiliad.workspace import TrainOptions, Workspace
from chiliad.workspace.machine import machine
from chiliad.workspace.many import ManyReport
from chiliad.workspace.many.outcome import outcomes_from_json

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "thousand"
SHARD_TASKS_MAX = 60

Task = dict[str, Any]


def main() -> None:
    options = _arguments()
    folder = os.environ.get("CHILIAD_DATA")
    if not folder:
        sys.exit("Set CHILIAD_DATA to the folder with the public data sets; this needs `thousand_tasks` in it.")
    tasks = _tasks(Path(folder) / "thousand_tasks" / "tasks.jsonl.gz")
    settings = {"threads": options.threads} if options.threads else {}
    workspace = chiliad.open(options.workspace, progress=sys.stderr.isatty(), **settings)
    left = options.shards
    for number, shard in enumerate(_shards(tasks, options.tasks)):
        path = options.results / f"shard-{number:02}.json"
        if left and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(_measured(workspace, number, shard, options.seed), indent=1) + "\n")
            left -= 1
    print(json.dumps(_summary(options.results), indent=2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", default="thousand-ws", help="a workspace for the experts and their cards")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the shards' reports go")
    parser.add_argument("--shards", type=int, default=1, help="how many more shards to do; 0: only sum up")
    parser.add_argument("--tasks", type=int, default=SHARD_TASKS_MAX, help="tasks of a shard")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if not 1 <= options.tasks <= SHARD_TASKS_MAX:
        parser.error(f"--tasks is 1 to {SHARD_TASKS_MAX}")
    return options


def _tasks(path: Path) -> list[Task]:
    """In an order that mixes families and sizes, so that every shard is like the whole."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        tasks = [json.loads(line) for line in file]
    return sorted(tasks, key=lambda task: sha256(task["task_id"].encode()).digest())


def _shards(tasks: Sequence[Task], size: int) -> Iterator[Sequence[Task]]:
    yield from (tasks[start : start + size] for start in range(0, len(tasks), size))


def _rows(shard: Sequence[Task]) -> list[dict[str, Any]]:
    return [
        {
            "expert": task["task_id"],
            "family": task["family"],
            "instruction": task["instruction"],
            "split": example["split"],
            "input": example["input"],
            "output": example["output"],
        }
        for task in shard
        for example in task["examples"]
    ]


def _measured(workspace: Workspace, number: int, shard: Sequence[Task], seed: int) -> dict[str, Any]:
    """Train and evaluate a shard. wall_seconds: of this command; one that went on from a killed one counts its own part."""
    started = time.perf_counter()
    report = workspace.train_many(
        _rows(shard),
        title=f"shard-{number:02}-of-{len(shard)}",
        input="input",
        output="output",
        options=TrainOptions(seed=seed),
    )
    return {
        "shard": number,
        "wall_seconds": round(time.perf_counter() - started, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "command": "python " + " ".join(sys.argv),
        **_figures(report),
    }


def _figures(report: ManyReport) -> dict[str, Any]:
    made = [outcome.made for outcome in report.outcomes if outcome.made]
    proofs = [outcome.proof for outcome in report.outcomes if outcome.proof]
    return {
        "experts": len(made),
        "failed": len(report.failed),
        "train_seconds": round(sum(one.seconds for one in made), 1),
        "evaluation_seconds": round(sum(one.seconds for one in proofs), 1),
        "outcomes": json.loads(report.to_json()),
    }


def _summary(folder: Path) -> dict[str, Any]:
    """All shards so far, with the keys that the goals are stated in."""
    shards = [json.loads(path.read_text()) for path in sorted(folder.glob("shard-*.json"))]
    outcomes = [one for shard in shards for one in outcomes_from_json(json.dumps(shard["outcomes"]))]
    report = ManyReport.of(folder, outcomes)
    made = [outcome.made for outcome in outcomes if outcome.made]
    hours = sum(shard["wall_seconds"] for shard in shards) / 3600
    gain = report.all.gain
    return {
        "shards": len(shards),
        "experts": len(made),
        "failed": len(report.failed),
        "hours": round(hours, 2),
        "thousand_hours": round(1000 * hours / len(made), 2) if made else None,
        "thousand_peak_gib": max((shard["peak_gib"] for shard in shards), default=None),
        "mean_score": report.all.score,
        "thousand_gain_points": round(100 * gain.mean, 2) if gain else None,
        "thousand_gain_points_low": round(100 * gain.interval.low, 2) if gain else None,
        "bytes_per_expert": round(sum(one.bytes for one in made) / len(made)) if made else None,
    }


if __name__ == "__main__":
    main()
