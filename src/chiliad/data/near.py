"""Texts that are nearly the same, found among many without comparing each with each.

MinHash with banding (Broder 1997; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3) over character
3-grams proposes pairs, and every pair is then compared in full, so that none is reported that is not alike. A pair can be
missed, the more easily the shorter its texts are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rapidfuzz import fuzz

from chiliad.data.example import normalise

if TYPE_CHECKING:
    from datasketch import MinHash

NEAR = 0.9
"""share of characters that two texts have in common, in order, from which one counts as a near copy of the other"""

_GRAM = 3
_PERMUTATIONS = 128
_PROPOSED_FROM = 0.3
"""share of common 3-grams: about 0.7 where one word of 40 characters is another, 0.4 where every tenth letter is"""
_COMPARED_MAX = 50
"""proposals compared in full for one text: where more are alike, those found tell enough"""


class NearTexts:
    """An index of texts. Case, white space and Unicode form do not count."""

    def __init__(self, texts: Sequence[str]) -> None:
        from datasketch import MinHashLSH  # here, because it takes half a second to import

        self._same: dict[str, list[int]] = {}
        for place, text in enumerate(texts):
            self._same.setdefault(normalise(text), []).append(place)
        self._index = MinHashLSH(threshold=_PROPOSED_FROM, num_perm=_PERMUTATIONS)
        self._signatures = _signatures(list(self._same))
        with self._index.insertion_session() as session:
            for text, signature in self._signatures.items():
                session.insert(text, signature)

    def like(self, text: str) -> Iterator[tuple[int, float]]:
        """(place of a text of the index, share of it in common), from NEAR to 1, in no particular order."""
        own = normalise(text)
        known = self._signatures if own in self._signatures else _signatures([own])
        yield from self._like(own, known[own])

    def pairs(self) -> Iterator[tuple[int, int, float]]:
        """(a place, a later place, share in common) of every pair within the index."""
        for text, places in self._same.items():
            for other, share in self._like(text, self._signatures[text]):
                yield from ((place, other, share) for place in places if place < other)

    def _like(self, own: str, signature: MinHash) -> Iterator[tuple[int, float]]:
        proposed = [text for text in self._index.query(signature) if text != own]
        proposed.sort(key=lambda text: -signature.jaccard(self._signatures[text]))
        for text in ([own] if own in self._same else []) + proposed[:_COMPARED_MAX]:
            share = fuzz.ratio(own, text) / 100
            if share >= NEAR:
                yield from ((place, share) for place in self._same[text])


def _signatures(texts: Sequence[str]) -> dict[str, MinHash]:
    from datasketch import MinHash

    grams = [[gram.encode() for gram in _grams(text)] for text in texts]
    return dict(zip(texts, MinHash.bulk(grams, num_perm=_PERMUTATIONS, seed=1), strict=True))


def _grams(text: str) -> set[str]:
    framed = f" {text} "
    return {framed[start : start + _GRAM] for start in range(max(1, len(framed) - _GRAM + 1))}
