"""Settings of training on the same tasks: `CHILIAD_DATA=... python benchmarks/settings.py automatic 8x8@2e-3 3x4@1e-3`.

A setting is `automatic`, what `chiliad train` chooses by itself, or fixed for all: EPOCHSxROWS_PER_BATCH@LEARNING_RATE. Each
trains an expert for every task, the same way as `chiliad train --many`; the tasks' fixed test rows are answered by the saved
files. Differences to the first setting are paired by task, with an interval over tasks. Each setting has a workspace of its
own, in which the same command goes on after a stop.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kinds import Task, difference, tasks_of

import chiliad
from chiliad.adapters import AdapterKind
from chiliad.workspace import TrainOptions
from chiliad.workspace.machine import machine
from chiliad.workspace.many import ManyReport

AUTOMATIC = "automatic"
FIXED = re.compile(r"(?P<epochs>\d+)x(?P<rows>\d+)@(?P<rate>[\d.e-]+)")


def main() -> None:
    options = _arguments()
    folder = os.environ.get("CHILIAD_DATA")
    if not folder:
        sys.exit("Set CHILIAD_DATA to the folder with the public data sets; this needs `thousand_tasks` in it.")
    tasks = tasks_of(Path(folder) / "thousand_tasks" / "tasks.jsonl.gz", options.tasks, skip=options.skip)
    reports = {setting: _trained(setting, tasks, options) for setting in options.settings}
    scores = {setting: _scores(report) for setting, report in reports.items()}
    first = scores[options.settings[0]]
    found = {
        setting: _figures(report) | {"points_against_first": difference(scores[setting], first)}
        for setting, report in reports.items()
    }
    about = {"machine": machine(), "date": datetime.now(UTC).date().isoformat(), "command": " ".join(sys.argv)}
    result = {"tasks": len(tasks), "skipped": options.skip, "kind": options.kind, "settings": found} | about
    print(json.dumps(result, indent=2) if options.json else _table(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", nargs="+")
    parser.add_argument(
        "--workspace", type=Path, default=Path("settings-ws"), help="a folder with one for each setting"
    )
    parser.add_argument("--tasks", type=int, default=24)
    parser.add_argument("--skip", type=int, default=0, help="so many tasks: to confirm on others what some have shown")
    parser.add_argument("--kind", choices=[kind.value for kind in AdapterKind], default=AdapterKind.LORA.value)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for setting in options.settings:
        if setting != AUTOMATIC and FIXED.fullmatch(setting) is None:
            parser.error(f"{setting} is neither {AUTOMATIC} nor like 3x4@1e-3")
    return options


def _trained(setting: str, tasks: Sequence[Task], options: argparse.Namespace) -> ManyReport:
    rows = [
        {"expert": task["task_id"], "family": task["family"], "instruction": task["instruction"], **example}
        for task in tasks
        for example in task["examples"]
    ]
    chosen: dict[str, Any] = {"kind": AdapterKind(options.kind), "baselines": False}
    fixed = FIXED.fullmatch(setting)
    if fixed is not None:
        chosen |= {
            "epochs": int(fixed["epochs"]),
            "rows_per_batch": int(fixed["rows"]),
            "learning_rate": float(fixed["rate"]),
        }
    settings = {"threads": options.threads} if options.threads else {}
    own = options.workspace / f"{options.kind}-{setting}-{options.skip}"
    with closing(chiliad.open(own, progress=sys.stderr.isatty(), **settings)) as workspace:
        return workspace.train_many(rows, title="study", input="input", output="output", options=TrainOptions(**chosen))


def _scores(report: ManyReport) -> dict[str, float]:
    return {one.label: one.proof.score for one in report.outcomes if one.proof}


def _figures(report: ManyReport) -> dict[str, Any]:
    made = [one.made for one in report.outcomes if one.made]
    return {
        "mean_score": report.all.score,
        "families": {family.name: family.score for family in report.families},
        "tokens": sum(one.tokens for one in made),
        "train_seconds": round(sum(one.seconds for one in made), 1),
    }


def _table(result: dict[str, Any]) -> str:
    lines = [f"{'setting':<16} {'score':>7} {'tokens':>9}  against the first (points)"]
    for setting, found in result["settings"].items():
        beside = found["points_against_first"]
        points = f"{beside['mean']:+.1f} [{beside['low']:+.1f}, {beside['high']:+.1f}]"
        lines.append(f"{setting:<16} {found['mean_score']:>7.4f} {found['tokens']:>9}  {points}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
