"""Build the pack: draw the tasks' rows, train an expert for each, score it on rows that it never saw, put all in one file.

    python examples/thousand/build.py                      the whole pack, some hours on two cores
    python examples/thousand/build.py --experts 48         a small one

It works in shards, each of which ends with a report. Stopped or killed at any moment, the same command goes on. Two
processes of one thread each are faster than one of two: `CHILIAD_THREADS=1 build.py --part 1/2` beside `--part 2/2`, and
when both have ended the command without a part, which makes the pack. The scores that it tells are those of `fresh.py`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fresh
from shards import Amount, chosen, shards, write_tables
from tasks.catalogue import all_tasks
from tasks.task import Task

import chiliad
from chiliad.adapters import AdapterKind
from chiliad.base import DEFAULT_BASE
from chiliad.errors import ChiliadError
from chiliad.evals import EvalOptions
from chiliad.workspace import TrainOptions, Workspace
from chiliad.workspace.many import ManyReport, Outcome
from chiliad.workspace.packing import pack
from chiliad.workspace.progress import duration_text

EXPERTS = 1050
SHARD = 50
EPOCHS, ROWS_PER_BATCH, LEARNING_RATE = 2, 4, 0.012
"""the best of six settings on the first 24 tasks: many small steps, and a rate that a core of so few numbers stands"""
HARD = ("number-words", "words-number", "ordinal-words", "romanise", "script-read", "script-write", "bits")
"""families that so small an adapter and so few rows do not teach this base: left out unless they are named"""
BASE_ROWS = 16
"""test and development rows that the untrained base answers for its baselines"""
SAMPLES = 8
"""test rows of each expert that the pack brings along, to be asked at once"""
TITLE = "thousand"
WHOLE = (1, 1)


@dataclass(frozen=True)
class Plan:
    """What is built. families: all of them if none is named; part (k, n): only every n-th shard, from the k-th on."""

    experts: int
    families: tuple[str, ...]
    amount: Amount
    shard: int
    base: str
    options: TrainOptions
    part: tuple[int, int] = WHOLE

    @property
    def tasks(self) -> list[Task]:
        tasks = [task for task in all_tasks() if self.families or task.family not in HARD]
        return chosen(tasks, self.experts, self.families)

    @property
    def shards(self) -> list[tuple[str, Sequence[Task]]]:
        first, step = self.part
        return list(shards(self.tasks, self.shard))[first - 1 :: step]


def main() -> None:
    arguments = _arguments()
    if arguments.part == WHOLE and arguments.out.exists():
        sys.exit(f"{arguments.out} exists. Give another --out, or move it away.")
    try:
        with chiliad.open(arguments.workspace) as workspace:
            plan = _plan(arguments)
            report = build(workspace, plan)
            if plan.part != WHOLE:
                return
            found = fresh.on_fresh_rows(workspace, report.outcomes, plan.tasks)
            fresh.write(found, plan.tasks, report.folder / "fresh.csv")
            print(fresh.told(found))
            outcomes = fresh.with_proofs(report.outcomes, found)
            packed = pack(workspace, outcomes, arguments.out, title=TITLE, samples=SAMPLES)
    except ChiliadError as error:
        sys.exit(f"{error.cause}\n{error.fix}")
    print(f"{packed.experts} experts in {arguments.out}, {packed.bytes / 1e6:.1f} MB. Scores: {report.folder}")
    if report.failed:
        sys.exit(f"{len(report.failed)} experts could not be trained; {report.page} says why.")


def build(workspace: Workspace, plan: Plan) -> ManyReport:
    """Train what is missing, shard by shard, and write one report over all."""
    outcomes: list[Outcome] = []
    pace = _Pace(sum(len(own) for _, own in plan.shards))
    for title, own in plan.shards:
        folder = workspace.folder / "tables" / title
        folder.mkdir(parents=True, exist_ok=True)
        write_tables(folder, own, plan.amount)
        many = workspace.many(folder, title=title, input="input", output="answer", base=plan.base, options=plan.options)
        planned = many.plan()
        report = many.train(planned)
        workspace.rest()
        outcomes += report.outcomes
        print(f"{title}: {_scores(report)}; {pace.after(len(own), trained=len(planned.to_do))}", flush=True)
    title = TITLE if plan.part == WHOLE else f"{TITLE}-{plan.part[0]}"
    whole = ManyReport.of(workspace.folder / "reports" / title, outcomes)
    whole.write()
    return whole


class _Pace:
    """How long the rest takes, from what this process has trained itself."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._trained = total, 0, 0
        self._started = time.monotonic()

    def after(self, tasks: int, *, trained: int) -> str:
        self._done += tasks
        self._trained += trained
        left = self._total - self._done
        told = f"{self._done} of {self._total} experts done"
        if not left or not self._trained:
            return told
        seconds = (time.monotonic() - self._started) / self._trained * left
        return f"{told}, about {duration_text(seconds)} left"


def _scores(report: ManyReport) -> str:
    score, gain = report.all.score, report.all.gain
    if score is None:
        return "no scores"
    beside = f", best baselines {gain.baseline:.3f}" if gain else ""
    failed = f", {len(report.failed)} failed" if report.failed else ""
    return f"mean test score {score:.3f}{beside}{failed}"


def _plan(arguments: argparse.Namespace) -> Plan:
    amount = Amount(arguments.rows, arguments.tests, arguments.seed)
    evaluation = EvalOptions(base_rows_max=BASE_ROWS)
    options = TrainOptions(
        kind=AdapterKind(arguments.kind),
        rank=arguments.rank,
        epochs=arguments.epochs,
        rows_per_batch=arguments.rows_per_batch,
        learning_rate=arguments.learning_rate,
        baselines=arguments.baselines,
        evaluation=evaluation,
    )
    return Plan(
        arguments.experts, tuple(arguments.family), amount, arguments.shard, arguments.base, options, arguments.part
    )


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--workspace", type=Path, default=Path("thousand-ws"), help="where it is built, and continued")
    add("--out", type=Path, default=Path("thousand.zip"), help="the pack, which must not exist yet")
    add("--experts", type=int, default=EXPERTS)
    add("--family", action="append", default=[], help="only tasks of this family; may be given more than once")
    add("--rows", type=int, default=Amount.train, help="training rows of each task")
    add("--tests", type=int, default=Amount.test, help="test rows of each task")
    add("--seed", type=int, default=Amount.seed, help="of the rows")
    add("--shard", type=int, default=SHARD, help="experts that are trained and reported together")
    add("--part", type=_part, default=WHOLE, metavar="K/N", help="only every N-th shard, from the K-th on, and no pack")
    add("--base", default=DEFAULT_BASE)
    add("--kind", choices=[kind.value for kind in AdapterKind], default=AdapterKind.SHARED_BASIS.value)
    add("--epochs", type=int, default=EPOCHS)
    add("--rank", type=int, default=None)
    add("--rows-per-batch", type=int, default=ROWS_PER_BATCH)
    add("--learning-rate", type=float, default=LEARNING_RATE)
    add("--baselines", action="store_true", help="compare each with its baselines, which makes its card: hours more")
    return parser.parse_args(given)


def _part(told: str) -> tuple[int, int]:
    part, _, parts = told.partition("/")
    if not 1 <= int(part) <= int(parts):
        raise ValueError(told)
    return int(part), int(parts)


if __name__ == "__main__":
    main()
