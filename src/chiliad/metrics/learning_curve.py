"""How a score grows with the number of training rows, and what more rows would give, with what certainty.

The share that is lost, 1 - score, falls as a power of the rows down to a floor, after a beginning in which few rows change
little: lost(n) = floor + (start - floor) * (1 + n / n0) ** -b. With n0 small this is the power law of Hestness et al. 2017
(arXiv 1712.00409); the floor and the slow beginning are what Rosenfeld et al. 2020 (arXiv 1909.12673) add to it. All curves
of a grid are weighed by how well they explain the runs, so that few runs leave many curves, and a wide interval, standing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiliad.metrics.intervals import Interval

Numbers = NDArray[np.float64]

_DRAWS = 4000
_LOST = np.linspace(0.0, 1.0, 81)[1:-1] ** 1.5
"""the share that is lost at the largest run: finer where little is lost"""
_FLOORS = np.linspace(0.0, 0.95, 8)
"""as a share of what is lost there"""
_SLOPES = np.geomspace(0.08, 2.0, 9)
_SLOPE_USUAL, _SLOPE_SPREAD = 0.4, 0.8
"""slopes between 0.1 and 1 are usual; the spread is one of logarithms"""
_BEGINNINGS = np.geomspace(0.01, 1.0, 6)
"""n0 as a share of the largest run"""
_NOISES = np.array([0.3, 0.45, 0.65, 0.9, 1.3])
"""how much two trainings differ on the same test rows, as a share of how much they would on different ones"""
_NOISE_USUAL, _NOISE_SPREAD = 0.6, 0.5
_RUN_NOISE = 0.005
"""that no number of test rows takes away"""


@dataclass(frozen=True)
class Measured:
    """One training: the mean score on `test_rows` rows, always the same ones, and the variance between the rows."""

    rows: int
    score: float
    variance: float
    test_rows: int

    @classmethod
    def of(cls, rows: int, scores: Sequence[float]) -> Measured:
        return cls(rows, float(np.mean(scores)), float(np.var(scores)), len(scores))


@dataclass(frozen=True)
class Expected:
    """What one training on so many rows scores on the same test rows. middle: the median."""

    rows: int
    middle: float
    interval: Interval


class LearningCurve:
    """Weighed curves through measured runs, of which there is one at least."""

    def __init__(self, runs: Sequence[Measured]) -> None:
        self._test_rows = min(run.test_rows for run in runs)
        spread = sum(run.variance for run in runs)
        self._spread = min(1.0, max(0.05, spread / max(1e-9, sum(run.score * (1 - run.score) for run in runs))))
        grid = np.meshgrid(_LOST, _FLOORS, _SLOPES, _BEGINNINGS, indexing="ij")
        lost, floor, slope, beginning = (axis.ravel() for axis in grid)
        self._curves = _Curves(lost, floor, slope, beginning, max(run.rows for run in runs))
        self._weights = self._weighed(runs)

    def expected(self, rows: int, *, level: float = 0.8) -> Expected:
        """The middle `level` of what is possible. The same runs give the same numbers."""
        rng = np.random.default_rng(0)
        curves, noises = np.divmod(rng.choice(self._weights.size, _DRAWS, p=self._weights.ravel()), len(_NOISES))
        scores = self._curves.picked(curves).scores(rows)
        luck = rng.standard_normal(_DRAWS) * self._deviation(scores, _NOISES[noises])
        low, middle, high = np.quantile(np.clip(scores + luck, 0, 1), [(1 - level) / 2, 0.5, (1 + level) / 2])
        return Expected(rows, float(middle), Interval(float(low), float(high)))

    def _weighed(self, runs: Sequence[Measured]) -> Numbers:
        """How well each curve explains the runs, with each noise: [curves, noises], 1 in all."""
        usual = np.log(self._curves.slope / _SLOPE_USUAL) / _SLOPE_SPREAD
        usual_noise = np.log(_NOISES / _NOISE_USUAL) / _NOISE_SPREAD
        chances = -0.5 * (usual[:, None] ** 2 + usual_noise**2)
        chances[self._curves.scores(0) < 0] = -math.inf  # nothing scores below 0 without any rows
        for run in runs:
            scores = self._curves.scores(run.rows)[:, None]
            deviation = self._deviation(scores, _NOISES)
            chances -= 0.5 * ((run.score - scores) / deviation) ** 2 + np.log(deviation)
        weights = np.exp(chances - chances.max())
        return np.asarray(weights / weights.sum())

    def _deviation(self, scores: Numbers, noise: Numbers) -> Numbers:
        """Of one run around its curve."""
        variance = self._spread * np.maximum(scores * (1 - scores), 0.5 / self._test_rows)
        return np.sqrt(noise**2 * variance / self._test_rows + _RUN_NOISE**2)


@dataclass(frozen=True)
class _Curves:
    """lost: at `rows_max` rows; floor: as a share of that; beginning: n0 as a share of `rows_max`. Each [curves]."""

    lost: Numbers
    floor: Numbers
    slope: Numbers
    beginning: Numbers
    rows_max: int

    def picked(self, curves: NDArray[np.intp]) -> _Curves:
        return _Curves(self.lost[curves], self.floor[curves], self.slope[curves], self.beginning[curves], self.rows_max)

    def scores(self, rows: int) -> Numbers:
        """What each curve says at so many rows."""
        slow = self.beginning * self.rows_max
        fallen = ((1 + rows / slow) / (1 + self.rows_max / slow)) ** -self.slope
        floor = self.floor * self.lost
        return 1 - (floor + (self.lost - floor) * fallen)
