"""How far a mean score could be off because the rows are only so many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
_CELLS_MAX = 2**21  # numbers held at once while resampling


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def bootstrap_interval(per_example: Sequence[float], *, seed: int = 0, level: float = 0.95) -> Interval:
    """Percentile bootstrap interval of the mean (Efron 1979): rows drawn with replacement, the same for the same seed.

    Rows that all score 0, or all 1, leave the bootstrap nothing to vary and would claim certainty; for them this is
    Wilson's interval for a proportion.
    """
    scores = np.asarray(per_example, dtype=np.float64)
    assert scores.size, "an interval needs at least one score"
    if np.all(scores == scores[0]) and scores[0] in (0.0, 1.0):
        return _wilson(float(scores[0]), scores.size, level)
    return percentile_interval(resampled_means(scores, seed), level)


def resampled_means(scores: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """The means of `RESAMPLES` draws of as many rows as there are, with replacement: [RESAMPLES]."""
    rng = np.random.default_rng(seed)
    chunk = max(1, _CELLS_MAX // scores.size)
    sizes = [min(chunk, RESAMPLES - start) for start in range(0, RESAMPLES, chunk)]
    return np.concatenate([scores[rng.integers(0, scores.size, (size, scores.size))].mean(axis=1) for size in sizes])


def percentile_interval(means: NDArray[np.float64], level: float) -> Interval:
    """The middle `level` of the means."""
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _wilson(share: float, n: int, level: float) -> Interval:
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))
