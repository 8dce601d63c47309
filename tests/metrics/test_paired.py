"""The paired test against scipy, and its error rate where nothing differs."""

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test

from chiliad.metrics import paired_test


def test_mcnemar_is_the_exact_binomial_test_on_the_rows_that_differ():
    a = [1.0] * 50 + [1.0] * 14 + [0.0] * 5 + [0.0] * 20
    b = [1.0] * 50 + [0.0] * 14 + [1.0] * 5 + [0.0] * 20
    test = paired_test(a, b)
    assert test.method == "McNemar's exact test"
    assert test.p_value == pytest.approx(binomtest(5, 19).pvalue)
    assert test.delta == pytest.approx(9 / 89)
    assert test.n == 89


def test_mcnemar_on_thousands_of_rows_does_not_overflow():
    assert paired_test([1.0] * 3000 + [0.0] * 3000, [0.0] * 3000 + [1.0] * 3000).p_value == 1.0


@pytest.mark.parametrize("n", [8, 60])
def test_graded_scores_agree_with_scipys_permutation_test(n):
    rng = np.random.default_rng(1)
    a, b = rng.random(n) + 0.12, rng.random(n)
    wanted = permutation_test(
        (a, b), lambda x, y, axis: (x - y).mean(axis), permutation_type="samples", vectorized=True, rng=rng
    )
    test = paired_test(tuple(a), tuple(b))
    assert test.method == "paired sign-flip test"
    assert test.p_value == pytest.approx(wanted.pvalue, abs=0.015)


def test_the_interval_holds_the_difference_and_turns_with_the_sides():
    rng = np.random.default_rng(2)
    a, b = tuple(rng.random(40)), tuple(rng.random(40))
    there, back = paired_test(a, b), paired_test(b, a)
    assert there.low < there.delta < there.high
    assert back.delta == pytest.approx(-there.delta)
    assert back.low == pytest.approx(-there.high, abs=0.02)
    assert back.p_value == pytest.approx(there.p_value, abs=0.02)


def test_equal_answers_are_no_evidence():
    test = paired_test([1.0, 0.0, 0.5], [1.0, 0.0, 0.5])
    assert (test.delta, test.p_value, test.significant, test.not_worse) == (0, 1, False, True)


def test_false_alarms_are_as_rare_as_promised():
    rng = np.random.default_rng(3)
    alarms = sum(
        paired_test(tuple(rng.integers(0, 2, 80) * 1.0), tuple(rng.integers(0, 2, 80) * 1.0)).significant
        for _ in range(200)
    )
    assert alarms <= 16  # 5 % of 200, plus two standard deviations


def test_not_worse_refuses_only_what_is_clearly_worse():
    good, bad = [1.0] * 90 + [0.0] * 10, [1.0] * 60 + [0.0] * 40
    assert not paired_test(bad, good).not_worse
    assert paired_test(good, bad).not_worse
    assert paired_test([1.0] * 89 + [0.0] * 11, good).not_worse


def test_same_seed_same_result():
    rng = np.random.default_rng(4)
    a, b = tuple(rng.random(30)), tuple(rng.random(30))
    assert paired_test(a, b, seed=1) == paired_test(a, b, seed=1)
