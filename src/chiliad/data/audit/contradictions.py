"""Rows with one input and different labels, and which of them are the minority.

A minority is shown and never removed: it may be the one annotator who read the guideline.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chiliad.data.example import Example
from chiliad.data.near import NearTexts


@dataclass(frozen=True)
class Contradiction:
    """Rows, by their numbers, whose inputs are equal but for case and white space. answers: how many rows give each.

    minority: the rows that do not give the most frequent answer; all of them where two answers are as frequent.
    """

    rows: tuple[int, ...]
    answers: dict[str, int]
    minority: tuple[int, ...]


@dataclass(frozen=True)
class NearContradiction:
    """Two rows with nearly the same input and different labels. share: of their texts in common."""

    rows: tuple[int, int]
    share: float


def contradictions_of(examples: Mapping[int, Example]) -> tuple[Contradiction, ...]:
    """In the order of their first rows."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, example in examples.items():
        rows[example.key].append(row)
    return tuple(
        _contradiction(examples, same) for same in rows.values() if len({examples[row].answer for row in same}) > 1
    )


def near_contradictions_of(examples: Mapping[int, Example]) -> tuple[NearContradiction, ...]:
    """The pairs that have most in common first."""
    numbers = list(examples)
    pairs = NearTexts([example.dialogue for example in examples.values()]).pairs()
    found = [NearContradiction((numbers[first], numbers[second]), share) for first, second, share in pairs]
    differing = [
        one
        for one in found
        if examples[one.rows[0]].answer != examples[one.rows[1]].answer
        and examples[one.rows[0]].key != examples[one.rows[1]].key
    ]
    return tuple(sorted(differing, key=lambda one: (-one.share, one.rows)))


def _contradiction(examples: Mapping[int, Example], rows: Sequence[int]) -> Contradiction:
    counts = Counter(examples[row].answer for row in rows)
    (first, most), (_, second) = counts.most_common(2)
    minority = tuple(row for row in rows if most == second or examples[row].answer != first)
    return Contradiction(tuple(rows), dict(counts.most_common()), minority)
