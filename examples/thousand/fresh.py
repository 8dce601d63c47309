"""What experts are worth: rows drawn anew, which no training has seen, and answers that are wholly right or wrong."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from time import perf_counter

from rich.progress import Progress
from tasks.task import Pair, Task, rows_of

from chiliad.engine import Engine, Request, SamplingParams
from chiliad.metrics import Scores, exact_match
from chiliad.workspace import Expert, Workspace
from chiliad.workspace.many.outcome import Outcome, Proof

ROWS = 16
SEED = 2026
"""neither that of the tables nor the one by whose rows the settings were chosen"""
ROOM = 8
"""tokens that an answer may be longer than the longest right one"""


@dataclass(frozen=True)
class Fresh:
    """Shares of exactly right answers. base: of the untrained base, given the same prompts and sets of answers."""

    expert: Scores
    base: Scores


def on_fresh_rows(workspace: Workspace, outcomes: Sequence[Outcome], tasks: Sequence[Task]) -> dict[str, Fresh]:
    """By the experts' names; those that were not made have none."""
    made = {one.name for one in outcomes if one.made is not None}
    own = [task for task in tasks if task.name in made]
    by_expert, by_base = scores(workspace, own), scores(workspace, own, of_base=True)
    return {task.name: Fresh(by_expert[task.name], by_base[task.name]) for task in own}


def scores(workspace: Workspace, tasks: Sequence[Task], *, of_base: bool = False) -> dict[str, Scores]:
    """Of each task's expert, by its name, or of the base in its place. All are asked in mixed batches of one engine."""
    rows = {task.name: rows_of(task, train=0, test=ROWS, seed=SEED).test for task in tasks}
    requests = [request for name, pairs in rows.items() for request in _requests(workspace.expert(name), pairs)]
    if not requests:
        return {}
    if of_base:
        requests = [replace(request, adapter=None) for request in requests]
    engine = workspace.expert(tasks[0].name).served.engine
    said = iter(_answers(engine, requests, "the base alone" if of_base else "experts"))
    return {
        name: exact_match([next(said) for _ in pairs], [right for _, right in pairs]) for name, pairs in rows.items()
    }


def with_proofs(outcomes: Sequence[Outcome], found: Mapping[str, Fresh]) -> list[Outcome]:
    """The outcomes, their scores those on fresh rows."""
    return [
        replace(one, proof=Proof.of_scores(found[one.name].expert, one.proof.seconds))
        if one.name in found and one.proof is not None
        else one
        for one in outcomes
    ]


def write(found: Mapping[str, Fresh], tasks: Sequence[Task], path: Path) -> None:
    """A table: family, expert, rows, and both shares."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("family", "expert", "rows", "exact", "exact_base"))
        for task in sorted(tasks, key=lambda task: (task.family, task.name)):
            if (fresh := found.get(task.name)) is not None:
                shares = f"{fresh.expert.value:.4f}", f"{fresh.base.value:.4f}"
                writer.writerow((task.family, task.name, len(fresh.expert.per_example), *shares))


def told(found: Mapping[str, Fresh]) -> str:
    experts, base = (fmean(getattr(fresh, side).value for fresh in found.values()) for side in ("expert", "base"))
    return f"on fresh rows {experts:.1%} exactly right, the base alone {base:.1%}"


def _requests(expert: Expert, pairs: Sequence[Pair]) -> list[Request]:
    encode = expert.served.tokenizer.encode
    sampling = SamplingParams(max_tokens=ROOM + max((len(encode(answer)) for _, answer in pairs), default=0))
    return [expert.request(text, sampling) for text, _ in pairs]


def _answers(engine: Engine, requests: Sequence[Request], what: str) -> list[str]:
    started = perf_counter()
    with Progress(transient=True) as bar:
        shown = bar.add_task(what, total=len(requests))
        completions = engine.generate(requests, lambda done, _: bar.update(shown, completed=done))
    print(f"{len(requests)} answers of {what} in {perf_counter() - started:.0f} s", flush=True)
    return [completion.text for completion in completions]
