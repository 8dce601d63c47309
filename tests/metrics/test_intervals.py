"""Bootstrap intervals: coverage on known distributions, and what happens at the edges."""

import numpy as np
import pytest

from chiliad.metrics import bootstrap_interval


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(7)
    intervals = [bootstrap_interval(rng.random(60) ** 2, seed=trial) for trial in range(200)]
    covered = sum(interval.low <= 1 / 3 <= interval.high for interval in intervals)
    assert 180 <= covered <= 200


def test_it_agrees_with_the_normal_approximation_on_many_rows():
    scores = [1.0] * 1800 + [0.0] * 200
    interval = bootstrap_interval(scores)
    half = 1.96 * (0.9 * 0.1 / 2000) ** 0.5
    assert interval.low == pytest.approx(0.9 - half, abs=0.003)
    assert interval.high == pytest.approx(0.9 + half, abs=0.003)


def test_same_seed_same_interval():
    scores = list(np.random.default_rng(0).random(50))
    assert bootstrap_interval(scores, seed=3) == bootstrap_interval(scores, seed=3)
    assert bootstrap_interval(scores, seed=3) != bootstrap_interval(scores, seed=4)


def test_a_perfect_score_on_few_rows_is_no_certainty():
    interval = bootstrap_interval([1.0] * 30)
    assert interval.low == pytest.approx(0.8865, abs=1e-3)  # Wilson, 30 of 30
    assert interval.high == 1
    assert bootstrap_interval([0.0] * 30).high == pytest.approx(1 - 0.8865, abs=1e-3)


def test_a_wider_level_is_a_wider_interval():
    scores = list(np.random.default_rng(0).random(50))
    narrow, wide = bootstrap_interval(scores, level=0.5), bootstrap_interval(scores, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_one_row_is_enough():
    assert bootstrap_interval([0.4]).low == pytest.approx(0.4)
