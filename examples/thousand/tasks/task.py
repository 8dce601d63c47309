"""A task: rows with exact answers, drawn by a seed, and a part of all inputs that no training ever sees."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from chiliad.data.example import normalise

TEST_SHARE = 0.25
"""of all inputs that a task can have"""
DRAWS_PER_ROW = 60
"""after which a task counts as drawn empty"""

Pair = tuple[str, str]
Draw = Callable[[Random], Pair]
"""One input and its one right answer, which depends on the input alone."""

_UNSEEN = dict.fromkeys((0x00AD, 0x061C, 0x200B, 0x200E, 0x200F, 0x2068, 0x2069))
_SPACES = dict.fromkeys((0x00A0, 0x2009, 0x202F), " ")


@dataclass(frozen=True)
class Task:
    """What one expert is to do. libraries: whose answers these are, as `licences.LICENCES` names them."""

    name: str
    family: str
    language: str
    instruction: str
    libraries: tuple[str, ...]
    draw: Draw


@dataclass(frozen=True)
class Rows:
    """Pairs of input and answer. No input of one part is in the other, whatever the seeds of both were."""

    train: tuple[Pair, ...]
    test: tuple[Pair, ...]


def rows_of(task: Task, *, train: int, test: int, seed: int) -> Rows:
    """Draw rows, no input twice. Fewer than asked for come from a task that has no more inputs."""
    return Rows(_part(task, train, seed, of_test=False), _part(task, test, seed, of_test=True))


def is_for_test(task: Task, text: str) -> bool:
    """Which part an input belongs to, for ever: its own hash decides, not a seed, equal for what counts as one input."""
    return hashlib.sha256(f"{task.name}\n{normalise(text)}".encode()).digest()[0] < 256 * TEST_SHARE


def plain(text: str) -> str:
    """Text as people type it: spaces that break, and no marks that nobody sees."""
    return " ".join(text.translate(_UNSEEN).translate(_SPACES).split())


def _part(task: Task, wanted: int, seed: int, *, of_test: bool) -> tuple[Pair, ...]:
    random = Random(f"{seed} {'test' if of_test else 'train'} {task.name}")
    found: dict[str, Pair] = {}
    for _ in range(wanted * DRAWS_PER_ROW):
        if len(found) == wanted:
            break
        text, answer = task.draw(random)
        if text and answer and is_for_test(task, text) == of_test:
            found.setdefault(normalise(text), (text, answer))
    return tuple(found.values())
