"""An audit: labels that are probably wrong, rows that contradict each other, and tests that were given away before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chiliad.data.audit.contradictions import (
    Contradiction,
    NearContradiction,
    contradictions_of,
    near_contradictions_of,
)
from chiliad.data.audit.leaks import Known, Leak, Overlap, leaks_between, overlaps_of
from chiliad.data.audit.wrong_labels import Doubts, doubts_of, hits
from chiliad.data.dataset import Dataset, assemble
from chiliad.data.example import Example
from chiliad.data.task import TaskKind
from chiliad.embeddings.embedder import Vectors

Numbered = Mapping[int, Example]
"""examples by the number of their row in its table, counted from 1"""
Embed = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True)
class Drift:
    """How often a simple model is right about rows taken by chance, and about the newest ones after learning the others.

    Where the second is lower, a split by chance makes an expert look better than it will be.
    """

    by_chance: float
    by_time: float


@dataclass(frozen=True)
class Audit:
    """Rows are numbered from 1 as in their table; `separate`: those of the test have a table and numbers of their own.

    What compares labels is None where answers are no closed set. Nothing is ever changed or left out because of an audit.
    """

    kind: TaskKind
    train_rows: int
    dev_rows: int
    test_rows: int
    separate: bool
    doubts: Doubts | None
    contradictions: tuple[Contradiction, ...]
    near_contradictions: tuple[NearContradiction, ...] | None
    test_leaks: tuple[Leak, ...]
    dev_leaks: tuple[Leak, ...]
    overlaps: tuple[Overlap, ...]
    drift: Drift | None

    def to_json(self) -> dict[str, Any]:
        """Row numbers, labels and figures; no text of any row but the labels."""
        return asdict(self)


def audit(
    rows: Numbered, embed: Embed, *, test: Numbered | None = None, others: Iterable[Known] = (), by_time: bool = False
) -> Audit:
    """Look for what makes a score a lie, in the rows as `freeze` divides them: around `test` if that is given.

    by_time: `test` is what is newest of the same table; the report then says what difference that makes. `embed` is asked
    only where answers are labels. Raises UnusableData where `freeze` does.
    """
    rows, test = _usable(rows), None if test is None else _usable(test)
    dataset = assemble(list(rows.values()), test=None if test is None else list(test.values()), source="")
    learned, tested = _learned_and_tested(rows, dataset, test)
    dev = {example.id for example in dataset.dev}
    closed = dataset.kind is TaskKind.LABELS
    doubts, drift = _judged(rows, tested if by_time else None, embed) if closed else (None, None)
    return Audit(
        kind=dataset.kind,
        train_rows=len(dataset.train),
        dev_rows=len(dataset.dev),
        test_rows=len(dataset.test),
        separate=test is not None and not by_time,
        doubts=doubts,
        contradictions=contradictions_of(rows),
        near_contradictions=near_contradictions_of(rows) if closed else None,
        test_leaks=leaks_between(tested, learned),
        dev_leaks=leaks_between(
            {row: example for row, example in learned.items() if example.id in dev},
            {row: example for row, example in learned.items() if example.id not in dev},
        ),
        overlaps=overlaps_of(tested, others),
        drift=drift,
    )


def _learned_and_tested(rows: Numbered, dataset: Dataset, test: Numbered | None) -> tuple[Numbered, Numbered]:
    """Rows to learn from and rows of the test. Beside a test that is given these are all rows, also those that `freeze`
    would leave out because the test has them: whoever trains elsewhere should know of them."""
    if test is not None:
        return rows, test
    held = {example.id for example in dataset.test}
    learned = {row: example for row, example in rows.items() if example.id not in held}
    return learned, {row: example for row, example in rows.items() if example.id in held}


def _judged(rows: Numbered, newest: Numbered | None, embed: Embed) -> tuple[Doubts, Drift | None]:
    vectors = embed([example.dialogue for example in rows.values()])
    doubts = doubts_of(rows, vectors)
    if newest is None:
        return doubts, None
    asked = list(newest.values())
    by_time = hits(list(rows.values()), vectors, asked, embed([example.dialogue for example in asked]))
    return doubts, Drift(doubts.agreement, by_time)


def _usable(rows: Numbered) -> Numbered:
    return {row: example for row, example in rows.items() if example.usable}
