"""Rows that are held out although something nearly the same is learned from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chiliad.data.example import Example
from chiliad.data.near import NearTexts


@dataclass(frozen=True)
class Leak:
    """held: the number of a row that is held out; learned: of the row most like it that is not; share: of its text in
    common, 1 if they differ in case and white space at most."""

    held: int
    learned: int
    share: float


@dataclass(frozen=True)
class Known:
    """What another expert learned from."""

    expert: str
    examples: Sequence[Example]


@dataclass(frozen=True)
class Overlap:
    """Test rows, by their numbers, that another expert learned from, word for word or nearly."""

    expert: str
    exact: tuple[int, ...]
    near: tuple[int, ...]

    @property
    def count(self) -> int:
        return len(self.exact) + len(self.near)


def leaks_between(held: Mapping[int, Example], learned: Mapping[int, Example]) -> tuple[Leak, ...]:
    """One leak at most for each row that is held out, in their order. Both: examples by row number."""
    numbers = list(learned)
    index = NearTexts([example.dialogue for example in learned.values()])
    leaks = []
    for row, example in held.items():
        like = max(index.like(example.dialogue), key=lambda found: (found[1], -found[0]), default=None)
        if like is not None:
            leaks.append(Leak(row, numbers[like[0]], like[1]))
    return tuple(leaks)


def overlaps_of(test: Mapping[int, Example], others: Iterable[Known]) -> tuple[Overlap, ...]:
    """The experts that have any of the test rows among what they learned from, the worst first."""
    numbers = list(test)
    index = NearTexts([example.dialogue for example in test.values()])
    overlaps = (_overlap(index, numbers, known) for known in others)
    return tuple(sorted((one for one in overlaps if one.count), key=lambda one: (-one.count, one.expert)))


def _overlap(index: NearTexts, numbers: Sequence[int], known: Known) -> Overlap:
    shares = dict.fromkeys(range(len(numbers)), 0.0)
    for text in {example.dialogue for example in known.examples}:
        for place, share in index.like(text):
            shares[place] = max(shares[place], share)
    exact = tuple(numbers[place] for place, share in shares.items() if share == 1)
    return Overlap(known.expert, exact, tuple(numbers[place] for place, share in shares.items() if 0 < share < 1))
