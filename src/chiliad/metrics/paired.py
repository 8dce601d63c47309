"""Is one set of answers better than another on the same rows, or is it chance?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from chiliad.metrics.intervals import percentile_interval, resampled_means

SIGNIFICANCE = 0.05
_FLIPS = 10_000
_EXACT_ROWS_MAX = 12  # 2**12 sign patterns are fewer than _FLIPS: try them all
_CHUNK = 500


@dataclass(frozen=True)
class PairedTest:
    """`delta` is the mean of a minus the mean of b over `n` shared rows; `low` and `high` are its 95 % interval."""

    delta: float
    p_value: float
    low: float
    high: float
    n: int
    method: str

    @property
    def significant(self) -> bool:
        """The difference, whichever way it goes, is unlikely to be chance."""
        return self.p_value < SIGNIFICANCE

    @property
    def not_worse(self) -> bool:
        """Not significantly worse: what a new version must be to replace the live one. A question with one side."""
        return self.delta >= 0 or self.p_value / 2 >= SIGNIFICANCE


def paired_test(a: Sequence[float], b: Sequence[float], *, seed: int = 0) -> PairedTest:
    """Two-sided test that a and b, scores of the same rows in the same order, have the same mean.

    McNemar's exact test (1947) where every score is 0 or 1; else a test that flips the signs of the differences at
    random (Fisher 1935), over all patterns when few rows differ. The interval is a paired bootstrap.
    """
    assert len(a) == len(b) > 0, "a paired test needs the same rows on both sides"
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    interval = percentile_interval(resampled_means(difference, seed), 0.95)
    binary = set(a) | set(b) <= {0.0, 1.0}
    p_value = _mcnemar(difference) if binary else _sign_flip(difference[difference != 0], seed)
    return PairedTest(
        delta=float(difference.mean()),
        p_value=p_value,
        low=interval.low,
        high=interval.high,
        n=difference.size,
        method="McNemar's exact test" if binary else "paired sign-flip test",
    )


def _mcnemar(difference: NDArray[np.float64]) -> float:
    """Chance of a split at least this uneven if each row that differs were a fair coin."""
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    n = wins + losses
    ways = tail = 1  # in how many ways k of n coins fall heads, and the sum of that up to k
    for k in range(min(wins, losses)):
        ways = ways * (n - k) // (k + 1)
        tail += ways
    return min(1.0, 2 * tail / (1 << n))


def _sign_flip(difference: NDArray[np.float64], seed: int) -> float:
    """Chance of a sum at least this large if each difference could as well have had the other sign."""
    if difference.size <= _EXACT_ROWS_MAX:
        signs = np.array(list(product((-1.0, 1.0), repeat=difference.size)))
        return _share_as_large(difference, signs @ difference)
    rng = np.random.default_rng(seed)
    sums = [rng.choice((-1.0, 1.0), (_CHUNK, difference.size)) @ difference for _ in range(0, _FLIPS, _CHUNK)]
    flipped = np.concatenate([*sums, [difference.sum()]])  # the observed pattern is one of the possible ones
    return _share_as_large(difference, flipped)


def _share_as_large(difference: NDArray[np.float64], sums: NDArray[np.float64]) -> float:
    slack = 1e-9 * float(np.abs(difference).sum())  # sums of the same numbers in another order differ by rounding
    return float(np.mean(np.abs(sums) >= abs(float(difference.sum())) - slack))
