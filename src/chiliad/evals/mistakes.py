"""Known failures: where an expert is wrong, the worst first, and which labels it confuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chiliad.data import Example

_MISTAKES_MAX = 12
_SAME_MAX = 2
_PAIRS_MAX = 10
_LABELS_MAX = 12
_CHARS_MAX = 600
OTHER = "(other)"


@dataclass(frozen=True)
class Mistake:
    """Texts are cut to a length that can be read on a card."""

    input: str
    expected: str
    got: str
    score: float


@dataclass(frozen=True)
class ConfusedPair:
    expected: str
    got: str
    count: int


@dataclass(frozen=True)
class Confusion:
    """`counts[i][j]`: rows of label i answered with label j; the last column, if it is OTHER, with anything else.

    Holds the labels that are confused most, if there are many.
    """

    labels: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


def worst_mistakes(examples: Sequence[Example], answers: Sequence[str], scores: Sequence[float]) -> tuple[Mistake, ...]:
    """The answers with the lowest scores below 1, at most two of the same kind."""
    order = sorted((row for row in range(len(scores)) if scores[row] < 1), key=lambda row: (scores[row], row))
    shown: Counter[tuple[str, str]] = Counter()
    mistakes = []
    for row in order:
        kind = (examples[row].answer, answers[row])
        shown[kind] += 1
        if shown[kind] <= _SAME_MAX:
            expected, got = map(_cut, kind)
            mistakes.append(Mistake(_cut(examples[row].input), expected, got, scores[row]))
        if len(mistakes) == _MISTAKES_MAX:
            break
    return tuple(mistakes)


def confused_pairs(examples: Sequence[Example], answers: Sequence[str]) -> tuple[ConfusedPair, ...]:
    """Which label is most often taken for which."""
    counts = Counter(_wrong(examples, answers))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(ConfusedPair(_cut(expected), _cut(got), count) for (expected, got), count in ordered[:_PAIRS_MAX])


def confusion(examples: Sequence[Example], answers: Sequence[str]) -> Confusion:
    """The confusion matrix of the labels that are confused most, or of all if they are few."""
    wrong = Counter(label for pair in _wrong(examples, answers) for label in pair)
    known = sorted({example.answer for example in examples}, key=lambda label: (-wrong[label], label))
    labels = tuple(sorted(known[:_LABELS_MAX]))
    pairs = Counter((example.answer, answer.strip()) for example, answer in zip(examples, answers, strict=True))
    rows = {label: sum(count for (expected, _), count in pairs.items() if expected == label) for label in labels}
    inside = tuple(tuple(pairs[label, got] for got in labels) for label in labels)
    rest = tuple(rows[label] - sum(counts) for label, counts in zip(labels, inside, strict=True))
    if not any(rest):
        return Confusion(labels, labels, inside)
    outside = tuple((*counts, left) for counts, left in zip(inside, rest, strict=True))
    return Confusion(labels, (*labels, OTHER), outside)


def _wrong(examples: Sequence[Example], answers: Sequence[str]) -> Iterator[tuple[str, str]]:
    for example, answer in zip(examples, answers, strict=True):
        if answer.strip() != example.answer.strip():
            yield example.answer.strip(), answer.strip()


def _cut(text: str) -> str:
    return text if len(text) <= _CHARS_MAX else text[: _CHARS_MAX - 1] + "…"
