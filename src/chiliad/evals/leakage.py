"""Were the answers out the night before? Test inputs that are also, or nearly, among what was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz import fuzz

from chiliad.data.example import normalise

NEAR = 0.9
"""Share of characters that two texts have in common, in order, from which one counts as a near copy of the other."""

_CANDIDATES = 3  # training texts compared in full with each test text
_CHUNK = 256


@dataclass(frozen=True)
class Leakage:
    """Positions of test rows that are exact copies, and others that are near copies, of a training input.

    Case, whitespace and Unicode form do not count.
    """

    exact: tuple[int, ...]
    near: tuple[int, ...]


def find_leakage(train: Sequence[str], test: Sequence[str]) -> Leakage:
    """Compare every test text with all training texts, first by hash, then by shared character n-grams.

    The most similar texts by n-grams are compared in full, so that `near` never holds a pair that is not alike; a pair
    that is alike can be missed if many others share more n-grams.
    """
    known, asked = [normalise(text) for text in train], [normalise(text) for text in test]
    seen = set(known)
    exact = tuple(row for row, text in enumerate(asked) if text in seen)
    others = sorted(set(range(len(asked))) - set(exact))
    near = tuple(
        row
        for row, candidates in zip(others, _nearest(known, [asked[row] for row in others]), strict=True)
        if any(fuzz.ratio(asked[row], known[candidate]) >= 100 * NEAR for candidate in candidates)
    )
    return Leakage(exact, near)


def _nearest(known: Sequence[str], asked: Sequence[str]) -> Iterator[list[int]]:
    """Per asked text the rows of the known texts that share most character 4-grams with it."""
    if not known or not asked:
        yield from ([] for _ in asked)
        return
    from sklearn.feature_extraction.text import HashingVectorizer  # here, because it takes a second to import

    vectoriser = HashingVectorizer(
        analyzer="char_wb", ngram_range=(4, 4), n_features=2**18, alternate_sign=False, lowercase=False
    )
    table = vectoriser.transform(known).T.tocsr()
    count = min(_CANDIDATES, len(known))
    for start in range(0, len(asked), _CHUNK):
        overlap = (vectoriser.transform(asked[start : start + _CHUNK]) @ table).toarray()
        yield from np.argpartition(-overlap, count - 1, axis=1)[:, :count].tolist()
