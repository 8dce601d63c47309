"""Scorers: answers and wanted answers in, a score per row and one for all rows out.

Every score lies between 0 and 1 and higher is better. `value` is the mean over the rows for every scorer but two:
macro-F1 averages over labels and span-F1 over spans, so theirs is computed from all rows at once.

Whitespace never counts: each answer is compared with its ends trimmed and every run of whitespace as one space.
Letter case counts in `exact_match`, `accuracy`, `macro_f1` and the two JSON scorers, and does not in `token_f1` and
`rouge_l`, as in the papers that they come from.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypeAlias, TypeVar

from rapidfuzz.distance import LCSseq

from chiliad.metrics.fields import Field, flat_fields, parse_object


@dataclass(frozen=True)
class Scores:
    """What a scorer found: one score per row, in the order of the rows, and the score of all rows together."""

    name: str
    per_example: tuple[float, ...]
    value: float


Scorer: TypeAlias = Callable[[Sequence[str], Sequence[str]], Scores]


def main_metric(kind: str) -> Scorer:
    """The scorer by which experts of this kind of task (`labels`, `json`, `text`) are compared."""
    return metrics_for(kind)[0]


def metrics_for(kind: str) -> tuple[Scorer, ...]:
    """Every scorer that fits this kind of task, the main one first."""
    return _BY_KIND[kind.lower()]


def exact_match(predictions: Sequence[str], references: Sequence[str]) -> Scores:
    """1 where the answer is the wanted text, whitespace aside; else 0."""
    return _mean("exact_match", _row_by_row(_same, predictions, references))


def accuracy(predictions: Sequence[str], references: Sequence[str]) -> Scores:
    """Share of rows with the right label. An answer that is no label at all is wrong."""
    return _mean("accuracy", _row_by_row(_same, predictions, references))


def macro_f1(predictions: Sequence[str], references: Sequence[str]) -> Scores:
    """F1 of each label, averaged over the labels that occur among the references.

    A rare label weighs as much as a frequent one. `per_example` says which rows are right.
    """
    right = _row_by_row(_same, predictions, references)
    predicted = Counter(map(squeeze, predictions))
    wanted = Counter(map(squeeze, references))
    hits = Counter(squeeze(label) for label, hit in zip(references, right, strict=True) if hit)
    f1_by_label = [2 * hits[label] / (wanted[label] + predicted[label]) for label in wanted]
    return Scores("macro_f1", right, fmean(f1_by_label))


def token_f1(predictions: Sequence[str], references: Sequence[str]) -> Scores:
    """Overlap of words, as in SQuAD (Rajpurkar et al. 2016): no case, punctuation or English articles."""
    return _mean("token_f1", _row_by_row(_token_f1, predictions, references))


def rouge_l(predictions: Sequence[str], references: Sequence[str]) -> Scores:
    """F1 of the longest common subsequence of words (Lin 2004), no case; words of any script."""
    return _mean("rouge_l", _row_by_row(_rouge_l, predictions, references))


def json_field_f1(predictions: Sequence[str], references: Sequence[str]) -> Scores:
    """Overlap of (path, value) pairs between two JSON objects, row by row; an answer that does not parse scores 0."""
    return _mean("json_field_f1", _row_by_row(_json_field_f1, predictions, references))


def span_f1(predictions: Sequence[str], references: Sequence[str]) -> Scores:
    """F1 over all (slot, value) pairs of all rows together, as slot filling is scored.

    A row where nothing is wanted and nothing is found adds nothing to `value`, and counts as 1 in `per_example`.
    If no row wants or finds a span, `value` is 1.
    """
    per_example = _row_by_row(_json_field_f1, predictions, references)
    found = [_pairs(prediction) or Counter() for prediction in predictions]
    wanted = [_pairs(reference) or Counter() for reference in references]
    hits = sum((f & w).total() for f, w in zip(found, wanted, strict=True))
    total = sum(f.total() + w.total() for f, w in zip(found, wanted, strict=True))
    return Scores("span_f1", per_example, 2 * hits / total if total else 1.0)


def squeeze(text: str) -> str:
    """The text with its ends trimmed and every run of whitespace as one space."""
    return " ".join(text.split())


_BY_KIND: dict[str, tuple[Scorer, ...]] = {
    "labels": (accuracy, macro_f1),
    "json": (json_field_f1, span_f1, exact_match),
    "text": (rouge_l, token_f1, exact_match),
}


def _row_by_row(
    score: Callable[[str, str], float], predictions: Sequence[str], references: Sequence[str]
) -> tuple[float, ...]:
    assert references, "there is nothing to score"
    return tuple(score(prediction, reference) for prediction, reference in zip(predictions, references, strict=True))


def _mean(name: str, per_example: tuple[float, ...]) -> Scores:
    return Scores(name, per_example, fmean(per_example))


def _same(prediction: str, reference: str) -> float:
    return float(squeeze(prediction) == squeeze(reference))


def _token_f1(prediction: str, reference: str) -> float:
    return _overlap_f1(Counter(_squad_words(prediction)), Counter(_squad_words(reference)))


_ARTICLES = frozenset({"a", "an", "the"})
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _squad_words(text: str) -> list[str]:
    return [word for word in text.lower().translate(_NO_PUNCTUATION).split() if word not in _ARTICLES]


def _rouge_l(prediction: str, reference: str) -> float:
    found, wanted = _words(prediction), _words(reference)
    if not found or not wanted:
        return float(found == wanted)
    return 2 * LCSseq.similarity(found, wanted) / (len(found) + len(wanted))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _json_field_f1(prediction: str, reference: str) -> float:
    found, wanted = _pairs(prediction), _pairs(reference)
    if found is None or wanted is None:
        return _same(prediction, reference)
    return _overlap_f1(found, wanted)


def _pairs(answer: str) -> Counter[Field] | None:
    parsed = parse_object(answer)
    return None if parsed is None else Counter(flat_fields(parsed))


_Item = TypeVar("_Item")


def _overlap_f1(found: Counter[_Item], wanted: Counter[_Item]) -> float:
    """F1 of two bags; two empty bags agree."""
    total = found.total() + wanted.total()
    return 2 * (found & wanted).total() / total if total else 1.0
