"""What weights in 8 and 4 bits cost in experts' scores: `python examples/thousand/precisions.py --json`.

Experts of a pack, trained in bf16, answer rows that are drawn anew, in each precision: exactly right or not. Differences to
bf16 are paired by expert, with 95 % intervals over experts.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import fresh
from tasks.catalogue import all_tasks
from tasks.task import Task

from chiliad.config import Precision, Settings
from chiliad.metrics import Scores, bootstrap_interval
from chiliad.registry.pack import open_pack
from chiliad.workspace import Workspace
from chiliad.workspace.machine import machine
from chiliad.workspace.packing import install


def main() -> None:
    options = _arguments()
    with open_pack(options.pack) as pack:
        names = [one.name for one in pack.experts][: options.experts]
    tasks = [task for task in all_tasks() if task.name in names]
    with TemporaryDirectory() as folder:
        with Workspace.open(Settings.load(workspace=Path(folder))) as workspace:
            install(workspace, options.pack)
        with redirect_stdout(sys.stderr):  # progress is no JSON
            scores = {precision: _scores(Path(folder), precision, tasks) for precision in Precision}
    about = {
        "experts": len(tasks),
        "rows": fresh.ROWS,
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    result = {precision: _told(own, scores[Precision.BF16]) for precision, own in scores.items()}
    print(json.dumps({**result, **about}, indent=2 if options.json else None))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pack", type=Path, default=Path(__file__).with_name("thousand.zip"))
    parser.add_argument("--experts", type=int, default=200, help="how many of the pack, its first")
    return parser.parse_args()


def _scores(folder: Path, precision: Precision, tasks: list[Task]) -> Mapping[str, Scores]:
    with Workspace.open(Settings.load(workspace=folder, engine={"precision": str(precision)})) as workspace:
        return fresh.scores(workspace, tasks)


def _told(own: Mapping[str, Scores], bf16: Mapping[str, Scores]) -> dict[str, Any]:
    exact = {"exact": round(fmean(one.value for one in own.values()), 4)}
    if own is bf16:
        return exact
    differences = [own[name].value - bf16[name].value for name in own]
    interval = bootstrap_interval(differences)
    points = [round(100 * value, 2) for value in (fmean(differences), interval.low, interval.high)]
    return {**exact, "points_to_bf16": points[0], "points_95": points[1:]}


if __name__ == "__main__":
    main()
