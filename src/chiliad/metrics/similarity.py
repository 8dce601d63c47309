"""How alike two texts are, between 0 and 1, by measures that evals of OpenAI's kind name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from rapidfuzz.distance import Indel

from chiliad.metrics.scorers import rouge_l

GLEU_ORDERS = (1, 2, 3, 4)


def fuzzy_match(found: str, wanted: str) -> float:
    """1 less the share of characters to insert or delete (RapidFuzz's `ratio`)."""
    return Indel.normalized_similarity(found, wanted)


def rouge_n(found: str, wanted: str, *, order: int) -> float:
    """F1 of the runs of `order` words that both have (Lin 2004), no case; words of any script."""
    grams, others = _grams(found, order), _grams(wanted, order)
    total = grams.total() + others.total()
    return 2 * (grams & others).total() / total if total else float(_words(found) == _words(wanted))


def gleu(found: str, wanted: str) -> float:
    """The lower of precision and recall over all runs of 1 to 4 words (Wu et al. 2016, section 4.3)."""
    counted = [(_grams(found, order), _grams(wanted, order)) for order in GLEU_ORDERS]
    hits = sum((grams & others).total() for grams, others in counted)
    longest = max(sum(grams.total() for grams, _ in counted), sum(others.total() for _, others in counted))
    return hits / longest if longest else 1.0


def _rouge_l(found: str, wanted: str) -> float:
    return rouge_l([found], [wanted]).value


SIMILARITIES: Mapping[str, Callable[[str, str], float]] = {
    "fuzzy_match": fuzzy_match,
    "gleu": gleu,
    **{f"rouge_{order}": partial(rouge_n, order=order) for order in (1, 2, 3, 4, 5)},
    "rouge_l": _rouge_l,
}
"""by the names that evals give them"""


def _grams(text: str, order: int) -> Counter[tuple[str, ...]]:
    words = _words(text)
    return Counter(zip(*(words[start:] for start in range(order)), strict=False))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
