"""Experts in an hour, beside PEFT: `CHILIAD_DATA=... python benchmarks/experts_per_hour.py --tasks 64 --json`.

Tasks of `thousand_tasks`, the same for both sides, in turns of `--per-turn`: first ours train together, by the same way as
`chiliad train --many`, then PEFT + transformers train one after another, each side in a process of its own. Both sides have
the same rows (our reading, checks and split), rank 8 on all linear layers, the settings that we choose from the data, the
same batches and learning rates, and the same rule on dev rows for the epoch that is kept and for an early stop. PEFT's
adapters are imported, and both sides' answer the same test rows in the same engine.

The clock is kind to PEFT: it runs when its base has been read and its rows are tokens, while ours counts reading tables,
checks, plan, base and versions on disk. Answering test rows counts on neither side. The same command goes on after a stop:
on PEFT's side with the next task, on ours with the turn, from its beginning, because half a turn has no time.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from kinds import Task, difference, tasks_of

import chiliad
from chiliad.base import DEFAULT_BASE
from chiliad.data import TaskKind
from chiliad.models import use_threads
from chiliad.registry.import_ import TEMPLATE_FILE, import_adapter
from chiliad.store.files import write_atomic
from chiliad.workspace import Expert, SilentReporter, TrainOptions, Workspace
from chiliad.workspace.lessons import make_lessons, recipe_for
from chiliad.workspace.machine import machine
from chiliad.workspace.many import ManyReport
from chiliad.workspace.proof import scores_on

RANK = 8

Line = dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """Tasks that first one side trains, then the other. folder: their experts, and what was measured."""

    number: int
    tasks: Sequence[Task]
    folder: Path

    @property
    def experts(self) -> Path:
        """A workspace: an expert's first version is ours, a later one PEFT's."""
        return self.folder / "experts"

    @property
    def ours(self) -> Path:
        return self.folder / "ours.json"

    @property
    def peft(self) -> Path:
        """Of each expert a line."""
        return self.folder / "peft.jsonl"

    @property
    def scores(self) -> Path:
        """Of PEFT's experts, of each a line."""
        return self.folder / "peft_scores.jsonl"


def main() -> None:
    options = _arguments()
    folder = os.environ.get("CHILIAD_DATA")
    if not folder:
        sys.exit("Set CHILIAD_DATA to the folder with the public data sets; this needs `thousand_tasks` in it.")
    turns = _turns(tasks_of(Path(folder) / "thousand_tasks" / "tasks.jsonl.gz", options.tasks), options)
    if options.part:
        PARTS[options.part](turns[options.turn], options)
        return
    for turn in turns:
        for part in PARTS:
            _in_a_process(part, turn)
    result = _summary(turns) | {
        "rank": RANK,
        "peft_adapters": options.peft_adapters,
        "threads": options.threads,
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join(["python", *sys.argv]),
    }
    print(json.dumps(result, indent=2) if options.json else "\n".join(f"{k:<26} {v}" for k, v in result.items()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, default=Path("experts-per-hour-ws"), help="a folder with all turns")
    parser.add_argument("--tasks", type=int, default=64)
    parser.add_argument("--per-turn", type=int, default=16, help="tasks that one side trains before the other does")
    parser.add_argument("--epochs", type=int, help="at most; by default by the number of rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--peft-adapters", choices=("float32", "bfloat16"), default="float32", help="what PEFT trains its weights in"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--turn", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if min(options.tasks, options.per_turn) < 1:
        parser.error("--tasks and --per-turn are at least 1")
    return options


def _turns(tasks: Sequence[Task], options: argparse.Namespace) -> list[Turn]:
    starts = range(0, len(tasks), options.per_turn)
    return [
        Turn(number, tasks[start : start + options.per_turn], options.workspace / f"turn-{number:02}")
        for number, start in enumerate(starts)
    ]


def _in_a_process(part: str, turn: Turn) -> None:
    """What goes wrong there is told there."""
    command = [sys.executable, __file__, *sys.argv[1:], "--part", part, "--turn", str(turn.number)]
    code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    if code:
        sys.exit(code)


def _train_ours(turn: Turn, options: argparse.Namespace) -> None:
    """All of a turn together. What a stopped command has left of it is begun anew."""
    settings = {name: vars(options)[name] for name in ("epochs", "seed", "threads", "peft_adapters")}
    settings["tasks"] = [task["task_id"] for task in turn.tasks]
    if turn.ours.exists():
        if json.loads(turn.ours.read_text())["settings"] != settings:
            sys.exit(f"{turn.folder} was measured with other tasks or settings. Give another --workspace.")
        return
    shutil.rmtree(turn.folder, ignore_errors=True)
    rows = [
        {"expert": task["task_id"], "family": task["family"], "instruction": task["instruction"], **example}
        for task in turn.tasks
        for example in task["examples"]
    ]
    with closing(_opened(turn, options)) as workspace:
        started = time.perf_counter()
        report = workspace.train_many(
            rows, title=turn.folder.name, input="input", output="output", options=_chosen(options)
        )
        seconds = time.perf_counter() - started
    write_atomic(turn.ours, json.dumps({"settings": settings, **_told(report, seconds)}, indent=1) + "\n")


def _told(report: ManyReport, seconds: float) -> Line:
    experts = {
        one.name: {"task": one.label, "score": one.proof.score, "epochs": one.made.epochs, "tokens": one.made.tokens}
        for one in report.outcomes
        if one.made and one.proof
    }
    answering = sum(one.proof.seconds for one in report.outcomes if one.proof)
    failed = [f"{one.label}: {one.cause}" for one in report.failed]
    return {"seconds": seconds - answering, "experts": experts, "failed": failed}


def _train_peft(turn: Turn, options: argparse.Namespace) -> None:
    """Those of the turn that ours has trained and PEFT has not, one after another."""
    from peft_training import read_base, train

    left = _left(turn, turn.peft)
    if not left:
        return
    use_threads(options.threads)
    with closing(_opened(turn, options)) as workspace:
        served = workspace.served(DEFAULT_BASE)
        base = read_base(served.base.path)
        for name in left:
            dataset = workspace.own_dataset(workspace.expert(f"{name}@1"))
            lessons = make_lessons(dataset, served, served.expert_template, workspace.settings.engine.context_max)
            taken = train(
                base,
                lessons,
                recipe_for(lessons, _chosen(options)),
                turn.folder / "peft" / name,
                by_exact=dataset.kind is TaskKind.LABELS,
                dtype=getattr(torch, options.peft_adapters),
            )
            _note(turn.peft, {"name": name, **asdict(taken)})


def _score_peft(turn: Turn, options: argparse.Namespace) -> None:
    """Import what PEFT has trained, and let it answer the test rows that ours has answered."""
    left = _left(turn, turn.scores)
    if not left:
        return
    with closing(_opened(turn, options)) as workspace:
        for name in left:
            ours = workspace.expert(f"{name}@1")
            theirs = _imported(workspace, ours, turn.folder / "peft" / name)
            dataset = workspace.own_dataset(ours)
            score = scores_on(theirs, dataset.test, dataset, SilentReporter()).value
            _note(turn.scores, {"name": name, "version": theirs.version.number, "score": score})


def _imported(workspace: Workspace, ours: Expert, folder: Path) -> Expert:
    """PEFT's adapter as one more version, with the prompt and the closed answers that both were trained for."""
    write_atomic(folder / TEMPLATE_FILE, ours.template.source)
    version = import_adapter(
        workspace.registry, ours.version.name, folder, ours.served.base, choices=ours.version.choices or None
    )
    return workspace.expert(version.ref)


def _opened(turn: Turn, options: argparse.Namespace) -> Workspace:
    return chiliad.open(turn.experts, progress=False, threads=options.threads)


def _chosen(options: argparse.Namespace) -> TrainOptions:
    return TrainOptions(rank=RANK, epochs=options.epochs, seed=options.seed, baselines=False)


def _left(turn: Turn, path: Path) -> list[str]:
    """Experts that our side has trained and of which there is no line yet."""
    done = {line["name"] for line in _lines(path)}
    return [name for name in json.loads(turn.ours.read_text())["experts"] if name not in done]


def _lines(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _note(path: Path, line: Line) -> None:
    """Add a line; a kill leaves the file with it or without it."""
    write_atomic(path, "".join(json.dumps(one) + "\n" for one in [*_lines(path), line]))


def _summary(turns: Sequence[Turn]) -> Line:
    """Of the experts that both sides have; what failed on ours was given to neither."""
    ours = [json.loads(turn.ours.read_text()) for turn in turns]
    experts = {name: one for turn in ours for name, one in turn["experts"].items()}
    by_turn = [_lines(turn.peft) for turn in turns]
    theirs = [line for lines in by_turn for line in lines]
    seconds, peft_seconds = sum(turn["seconds"] for turn in ours), sum(line["seconds"] for line in theirs)
    return {
        "tasks": sum(len(turn.tasks) for turn in turns),
        "experts": len(experts),
        "failed": [line for turn in ours for line in turn["failed"]],
        "train_seconds": round(seconds, 1),
        "peft_train_seconds": round(peft_seconds, 1),
        "experts_per_hour": round(3600 * len(experts) / seconds, 1),
        "peft_experts_per_hour": round(3600 * len(theirs) / peft_seconds, 1),
        "experts_per_hour_vs_peft": round(peft_seconds / seconds, 2),
        "vs_peft_by_turn": [
            round(sum(line["seconds"] for line in lines) / turn["seconds"], 2)
            for lines, turn in zip(by_turn, ours, strict=True)
        ],
        "epochs": sum(one["epochs"] for one in experts.values()),
        "peft_epochs": sum(line["epochs"] for line in theirs),
        "tokens": sum(one["tokens"] for one in experts.values()),
        "peft_tokens": sum(line["tokens"] for line in theirs),
        "peft_padding": round(1 - sum(line["tokens"] for line in theirs) / sum(line["cells"] for line in theirs), 3),
        **_scores(
            {name: one["score"] for name, one in experts.items()},
            {line["name"]: line["score"] for turn in turns for line in _lines(turn.scores)},
        ),
    }


def _scores(ours: dict[str, float], theirs: dict[str, float]) -> Line:
    """Means over experts, and the mean of the differences, ours minus PEFT's, in points, with its interval over tasks."""
    return {
        "mean_score": round(sum(ours.values()) / len(ours), 4),
        "peft_mean_score": round(sum(theirs.values()) / len(theirs), 4),
        "points_against_peft": difference(ours, theirs),
    }


PARTS: dict[str, Callable[[Turn, argparse.Namespace], None]] = {
    "ours": _train_ours,
    "peft": _train_peft,
    "scores": _score_peft,
}

if __name__ == "__main__":
    main()
