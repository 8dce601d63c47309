"""Requests that are about the same, found by their vectors: each kind may be a job for an expert of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from chiliad.data.example import normalise
from chiliad.embeddings import Embedder, Vectors

DIFFERENT_MIN = 5
"""requests that differ in their words; fewer show no pattern"""
DISTANCE_MAX = 0.65
"""mean cosine distance at which two groups are no longer one kind; see docs/decisions/0009-feedback.md"""


def kinds_of_request(requests: Mapping[str, str], embedder: Embedder) -> list[tuple[str, ...]]:
    """Cluster texts, given by id (average linkage): the ids of each kind, the most typical first, the largest kind first.

    What is like nothing else is in none.
    """
    by_words: defaultdict[str, list[str]] = defaultdict(list)
    for request_id, text in requests.items():
        if text.strip():
            by_words[normalise(text)].append(request_id)
    if len(by_words) < DIFFERENT_MIN:
        return []
    groups = list(by_words.values())
    vectors = embedder.embed([requests[ids[0]] for ids in groups])
    kinds = [_kind(members, groups, vectors) for members in _clusters(vectors)]
    return sorted(kinds, key=len, reverse=True)


def _clusters(vectors: Vectors) -> list[list[int]]:
    """Rows of `vectors` [texts, dimensions] that belong together, where there are enough of them."""
    from sklearn.cluster import AgglomerativeClustering  # takes a while to load, and a server never needs it

    clustering = AgglomerativeClustering(
        n_clusters=None, distance_threshold=DISTANCE_MAX, metric="cosine", linkage="average"
    )
    members: defaultdict[int, list[int]] = defaultdict(list)
    for row, cluster in enumerate(clustering.fit_predict(vectors)):
        members[int(cluster)].append(row)
    return [rows for rows in members.values() if len(rows) >= DIFFERENT_MIN]


def _kind(members: Sequence[int], groups: Sequence[Sequence[str]], vectors: Vectors) -> tuple[str, ...]:
    centre = vectors[members].mean(axis=0)
    nearest_first = [members[at] for at in np.argsort(-(vectors[members] @ centre), kind="stable")]
    return tuple(one for row in nearest_first for one in groups[row])
