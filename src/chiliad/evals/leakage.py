"""Were the answers out the night before? Test inputs that are also, or nearly, among what was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chiliad.data.example import normalise
from chiliad.data.near import NearTexts


@dataclass(frozen=True)
class Leakage:
    """Positions of test rows that are exact copies, and others that are near copies, of a training input.

    Case, whitespace and Unicode form do not count.
    """

    exact: tuple[int, ...]
    near: tuple[int, ...]


def find_leakage(train: Sequence[str], test: Sequence[str]) -> Leakage:
    """What `NearTexts` finds alike is; a pair that is alike can be missed, the more easily the shorter its texts are."""
    index, seen = NearTexts(train), {normalise(text) for text in train}
    exact = tuple(row for row, text in enumerate(test) if normalise(text) in seen)
    others = sorted(set(range(len(test))) - set(exact))
    return Leakage(exact, tuple(row for row in others if any(index.like(test[row]))))
