"""All tasks, each once: where two languages write alike, the first one's task stands for both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from random import Random

from tasks import calendars, dates, english, maths, names, numbers, phones, records, text, words
from tasks.task import Pair, Task

SOURCES = (dates, numbers, words, names, phones, text, records, maths, calendars, english)
PROBES = 16
"""draws by which two tasks of one family are told apart"""


@cache
def all_tasks() -> tuple[Task, ...]:
    """In the order in which they are built."""
    return tuple(_distinct(task for source in SOURCES for task in source.tasks()))


def _distinct(tasks: Iterable[Task]) -> Iterator[Task]:
    known: set[tuple[str, tuple[Pair, ...]]] = set()
    for task in tasks:
        probe = task.family, tuple(task.draw(Random(seed)) for seed in range(PROBES))
        if probe not in known:
            known.add(probe)
            yield task
