"""Curves that are known, runs drawn from them, and whether the intervals hold what came later."""

import numpy as np
import pytest

from chiliad.metrics import LearningCurve, Measured

SIZES = (125, 125, 250, 250, 500, 1000)


def lost(rows, *, start=0.8, floor=0.04, slope=0.5, scale=60):
    return floor + (start - floor) * (1 + rows / scale) ** -slope


def runs(curve, test_rows, rng, sizes=SIZES):
    """Each with the luck of its own training, on test rows that are the same for all."""
    return [
        measured(size, 1 - curve(size) + rng.normal(0, 0.5 * (0.15 / test_rows) ** 0.5), test_rows) for size in sizes
    ]


def measured(rows, score, test_rows):
    share = min(1.0, max(0.0, score))
    return Measured(rows, share, share * (1 - share), test_rows)


def test_with_many_test_rows_the_curve_goes_on():
    found = LearningCurve(runs(lost, 5000, np.random.default_rng(0)))
    for rows in (2000, 5000, 10_000):
        expected = found.expected(rows)
        assert expected.middle == pytest.approx(1 - lost(rows), abs=0.02)
        assert expected.interval.low <= 1 - lost(rows) <= expected.interval.high


def test_further_away_is_less_certain_and_so_are_fewer_test_rows():
    rng = np.random.default_rng(1)
    many, few = (LearningCurve(runs(lost, test_rows, rng)) for test_rows in (3000, 40))
    near, far = (many.expected(rows).interval for rows in (2000, 10_000))
    assert far.high - far.low > near.high - near.low
    wide = few.expected(2000).interval
    assert wide.high - wide.low > 2 * (near.high - near.low)


def test_a_score_that_has_stopped_growing_is_not_promised_to_grow():
    flat = LearningCurve([measured(size, 0.9, 2000) for size in SIZES])
    expected = flat.expected(10_000)
    assert expected.middle < 0.93
    assert expected.interval.low <= 0.9


def test_a_wider_level_gives_a_wider_interval_and_the_same_runs_the_same_numbers():
    curve = LearningCurve(runs(lost, 300, np.random.default_rng(2)))
    narrow, wide = curve.expected(2000, level=0.5).interval, curve.expected(2000, level=0.95).interval
    assert wide.low < narrow.low < narrow.high < wide.high
    assert curve.expected(2000) == LearningCurve(runs(lost, 300, np.random.default_rng(2))).expected(2000)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_runs_that_are_all_right_or_all_wrong_are_no_certainty(score):
    interval = LearningCurve([measured(size, score, 30) for size in SIZES]).expected(5000).interval
    assert 0 <= interval.low < interval.high <= 1


def test_the_intervals_hold_about_as_often_as_they_say():
    """Curves of many shapes; 80 % intervals at twice and five times the rows."""
    rng = np.random.default_rng(3)
    held = []
    for _ in range(60):
        shape = {
            "start": rng.uniform(0.4, 1.0),
            "floor": rng.uniform(0, 0.15),
            "slope": rng.uniform(0.2, 0.8),
            "scale": rng.uniform(10, 400),
        }
        test_rows = int(rng.choice([30, 100, 500]))
        curve = LearningCurve(runs(lambda rows, shape=shape: lost(rows, **shape), test_rows, rng))
        for rows in (2000, 5000):
            (later,) = runs(lambda n, shape=shape: lost(n, **shape), test_rows, rng, sizes=(rows,))
            interval = curve.expected(rows).interval
            held.append(interval.low <= later.score <= interval.high)
    assert 0.68 <= np.mean(held) <= 0.95
