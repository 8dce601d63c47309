"""Forecasts against what came: `CHILIAD_DATA=... python benchmarks/forecast.py --tasks 60 --json`.

Most training rows of a task are hidden, an expert is trained on the rest, and `forecast` says what all rows would give; then
an expert is trained on all of them. The test rows are the task's own and the same throughout. Told is how often the 80 %
interval held what came, how wide it was, and how far off its middle was beside saying that nothing changes. Each forecast is
kept in the results as soon as it is there; killed or stopped, the same command goes on. Nothing else of the data is kept.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Any

import chiliad
from chiliad.errors import DataError
from chiliad.metrics import LearningCurve
from chiliad.workspace import Expert, TrainOptions, Workspace
from chiliad.workspace.machine import machine

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "forecast.json"
SHARES = {"thousand": (0.3,), "banking77": (0.1, 0.2, 0.3), "clinc150": (0.1, 0.2, 0.3)}
"""of the training rows that a forecast sees; fewer than three tenths of a small task's 70 rows cannot be trained on"""

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Task:
    """Rows with `input` and `output`, the training rows in an order by which any part is as good as another."""

    set: str
    name: str
    train: Rows
    test: Rows
    instruction: str | None = None


def main() -> None:
    options = _arguments()
    folder = os.environ.get("CHILIAD_DATA")
    if not folder:
        sys.exit("Set CHILIAD_DATA to the folder with the public data sets; this needs the sets that --sets names.")
    settings = {"threads": options.threads} if options.threads else {}
    workspace = chiliad.open(options.workspace, progress=sys.stderr.isatty(), **settings)
    cases = json.loads(options.results.read_text())["cases"] if options.results.exists() else []
    known = {(case["task"], case["share"]) for case in cases}
    for task in _tasks(Path(folder), options.sets, options.tasks):
        for share in options.shares or SHARES[task.set]:
            if (task.name, share) in known:
                continue
            try:
                cases.append(_case(workspace, task, share, options.seed))
            except DataError as error:
                print(f"{task.name} at {share:.0%} is left out: {error.cause}", file=sys.stderr)
                continue
            _keep(options.results, cases)
    print(json.dumps(_summary(cases), indent=2) if options.json else _told(cases))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", default="forecast-ws", help="a workspace for the experts")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the report goes")
    parser.add_argument("--sets", nargs="+", choices=sorted(SHARES), default=["thousand"])
    parser.add_argument("--tasks", type=int, default=60, help="of `thousand`")
    parser.add_argument(
        "--shares", nargs="+", type=float, help="of the training rows that are seen, instead of the usual"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _case(workspace: Workspace, task: Task, share: float, seed: int) -> dict[str, Any]:
    """One forecast, and what came."""
    small = _expert(workspace, task, f"{round(100 * share)}", task.train[: round(share * len(task.train))], seed)
    forecast = workspace.forecast(small.ref)
    full = _expert(workspace, task, "all", task.train, seed)
    dataset = workspace.own_dataset(full)
    expected = LearningCurve(forecast.measured).expected(len(dataset.train))
    came = workspace.score(full, dataset.test)
    workspace.rest()
    return {
        "set": task.set,
        "task": task.name,
        "share": share,
        "metric": forecast.metric,
        "test_rows": forecast.test_rows,
        "rows": [run.rows for run in forecast.measured] + [expected.rows],
        "scores": [round(run.score, 4) for run in forecast.measured],
        "low": round(expected.interval.low, 4),
        "middle": round(expected.middle, 4),
        "high": round(expected.interval.high, 4),
        "came": round(came, 4),
        "held": expected.interval.low <= came <= expected.interval.high,
        "few_shot": round(forecast.prompted.score, 4),
    }


def _expert(workspace: Workspace, task: Task, part: str, rows: Rows, seed: int) -> Expert:
    """Trained now, or by an earlier command."""
    name = f"{task.set}-{sha256(task.name.encode()).hexdigest()[:12]}-{part}"
    if any(one.name == name and one.live for one in workspace.registry.experts()):
        return workspace.expert(name)
    options = TrainOptions(seed=seed, baselines=False)
    return workspace.train(name, rows, test=task.test, instruction=task.instruction, options=options)


def _keep(path: Path, cases: Sequence[dict[str, Any]]) -> None:
    document = {
        "command": "python " + " ".join(sys.argv),
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "summary": _summary(cases),
        "cases": cases,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    stage = path.with_suffix(".part")
    stage.write_text(json.dumps(document, indent=1) + "\n")
    stage.replace(path)


def _summary(cases: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    return {
        name: _figures([case for case in cases if name in ("all", case["set"])])
        for name in ("all", *sorted({case["set"] for case in cases}))
        if cases
    }


def _figures(cases: Sequence[dict[str, Any]]) -> dict[str, float]:
    """errors are means of absolute differences, in points of score."""
    return {
        "forecasts": len(cases),
        "coverage": round(fmean(case["held"] for case in cases), 4),
        "width": round(fmean(case["high"] - case["low"] for case in cases), 4),
        "error": round(fmean(abs(case["middle"] - case["came"]) for case in cases), 4),
        "error_if_nothing_changed": round(fmean(abs(case["scores"][-1] - case["came"]) for case in cases), 4),
    }


def _told(cases: Sequence[dict[str, Any]]) -> str:
    return "\n".join(
        f"{name}: {one['forecasts']} forecasts, {one['coverage']:.0%} of the 80 % intervals held, {one['width']:.3f} wide"
        for name, one in _summary(cases).items()
    )


def _tasks(folder: Path, sets: Sequence[str], count: int) -> Iterator[Task]:
    if "thousand" in sets:
        yield from _thousand(folder / "thousand_tasks" / "tasks.jsonl.gz", count)
    if "banking77" in sets:
        train, test = (_labelled(folder / "banking77" / f"{part}.jsonl.gz") for part in ("train", "test"))
        yield Task("banking77", "banking77", _mixed(train), test)
    if "clinc150" in sets:
        parts = [_read(folder / "clinc150" / f"{part}.jsonl.gz") for part in ("train", "test")]
        for domain in sorted({row["domain"] for row in parts[0]}):
            train, test = (
                [{"input": row["text"], "output": row["label"]} for row in part if row["domain"] == domain]
                for part in parts
            )
            yield Task("clinc150", domain, _mixed(train), test)


def _thousand(path: Path, count: int) -> Iterator[Task]:
    """Of different families, always the same ones; only tasks with enough rows to hide most of them."""
    families: set[str] = set()
    for task in sorted(_read(path), key=lambda task: sha256(task["task_id"].encode()).digest()):
        parts = {part: _of_part(task["examples"], part) for part in ("train", "test")}
        if task["family"] in families or len(parts["train"]) < 70 or len(families) == count:
            continue
        families.add(task["family"])
        yield Task("thousand", task["task_id"], _mixed(parts["train"]), parts["test"], task["instruction"])


def _of_part(examples: Sequence[dict[str, str]], part: str) -> Rows:
    return [{"input": one["input"], "output": one["output"]} for one in examples if one["split"] == part]


def _labelled(path: Path) -> Rows:
    return [{"input": row["text"], "output": row["label"]} for row in _read(path)]


def _mixed(rows: Rows) -> Rows:
    return sorted(rows, key=lambda row: sha256(json.dumps(row, sort_keys=True).encode()).digest())


def _read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    main()
