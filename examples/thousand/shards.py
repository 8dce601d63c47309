"""Which tasks are trained, in which order, and their tables: a folder for each shard, as `chiliad train --many` reads it."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from tasks.task import Task, rows_of

from chiliad.errors import UnusableData
from chiliad.store.files import write_atomic


@dataclass(frozen=True)
class Amount:
    """Rows of each task, and the seed of their draws. A quarter of the inputs that a task can have is for the test alone."""

    train: int = 96
    test: int = 12
    seed: int = 0


def chosen(tasks: Sequence[Task], number: int | None, families: Sequence[str] = ()) -> list[Task]:
    """The first tasks of every family in turn, so that any number of them is a mixture. None: all."""
    unknown = set(families) - {task.family for task in tasks}
    if unknown:
        known = ", ".join(sorted({task.family for task in tasks}))
        raise UnusableData(f"There is no family {sorted(unknown)[0]!r}.", fix=f"Choose from {known}.")
    members: defaultdict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        if not families or task.family in families:
            members[task.family].append(task)
    turns = zip_longest(*members.values())
    return [task for turn in turns for task in turn if task is not None][:number]


def shards(tasks: Sequence[Task], size: int) -> Iterator[tuple[str, Sequence[Task]]]:
    """Titles and their tasks."""
    for number, start in enumerate(range(0, len(tasks), size), start=1):
        yield f"shard-{number:02}", tasks[start : start + size]


def write_tables(folder: Path, tasks: Sequence[Task], amount: Amount) -> None:
    """A table for each task, and a manifest. The same tasks and amount give the same files."""
    for task in tasks:
        drawn = rows_of(task, train=amount.train, test=amount.test, seed=amount.seed)
        parts = {"train": drawn.train, "test": drawn.test}
        rows = [
            {"input": text, "answer": answer, "split": part} for part, pairs in parts.items() for text, answer in pairs
        ]
        write_atomic(folder / f"{task.name}.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("expert", "family", "instruction"))
        writer.writerows((task.name, task.family, task.instruction) for task in tasks)
