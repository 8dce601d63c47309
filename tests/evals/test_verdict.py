"""The first line of a card says plainly who won."""

import pytest

from chiliad.evals.verdict import Outcome, judge
from chiliad.metrics import PairedTest


def paired(delta, p_value):
    return PairedTest(delta, p_value, delta - 0.02, delta + 0.02, 500, "McNemar's exact test")


@pytest.mark.parametrize(
    ("expert", "baseline", "p_value", "leaked", "outcome", "line"),
    [
        (0.95, 0.91, 0.0004, 0, Outcome.EXPERT_WINS,
         "This expert wins: 95.0 % against 91.0 % for its best baseline, TF-IDF + linear (p<0.001)."),
        (0.92, 0.91, 0.3, 0, Outcome.UNCLEAR,
         "No proof that this expert is better than its best baseline: 92.0 % against 91.0 % for TF-IDF + linear (p=0.3)."),
        (0.91, 0.91, 1.0, 0, Outcome.BASELINE_TIES,
         "A baseline is as good: TF-IDF + linear 91.0 % against this expert's 91.0 % (p=1)."),
        (0.90, 0.91, 0.21, 0, Outcome.BASELINE_TIES,
         "A baseline is as good: TF-IDF + linear 91.0 % against this expert's 90.0 % (p=0.21)."),
        (0.892, 0.91, 0.012, 0, Outcome.BASELINE_WINS,
         "A baseline wins: TF-IDF + linear 91.0 % against this expert's 89.2 % (p=0.012)."),
        (0.99, 0.91, 1e-9, 0.4, Outcome.VOID,
         "Not a fair test: 40.0 % of the test inputs were trained on. "
         "TF-IDF + linear 91.0 % against this expert's 99.0 % (p<0.001)."),
    ],
)  # fmt: skip
def test_first_line(expert, baseline, p_value, leaked, outcome, line):
    verdict = judge(expert, baseline, "TF-IDF + linear", paired(expert - baseline, p_value), leaked)
    assert (verdict.outcome, verdict.line) == (outcome, line)
