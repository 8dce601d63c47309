"""Twenty thousand requests while experts come, go and change their names: not one answer of another expert."""

from __future__ import annotations

from benchmarks.churn import EXPERTS, churn

REQUESTS = 20_000


def test_no_answer_is_ever_another_experts(tmp_path):
    result = churn(tmp_path, REQUESTS)
    assert result.wrong == 0
    assert result.requests == REQUESTS
    assert result.loads > 2 * EXPERTS, "adapters were dropped and read again"
    assert result.replaced > 100
    assert result.left > 100
