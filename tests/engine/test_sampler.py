"""From logits to tokens."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
import torch

from chiliad.engine.grammar import TokenMask
from chiliad.engine.request import SamplingParams
from chiliad.engine.sampler import Draw, sample, score

VOCAB = 2000


def draw(seed=0, allowed=None, **options):
    return Draw(SamplingParams(**options), Random(seed), allowed)


def random_logits(rows, seed=0, spread=2.0):
    return torch.randn(rows, VOCAB, generator=torch.Generator().manual_seed(seed)) * spread


def tokens(logits, *draws):
    return [one.token for one in sample(logits, draws)]


def frequencies(logits, count=2000, **options):
    """How often each token is drawn from one row."""
    random = Random(1)
    params = SamplingParams(**options)
    rows = logits.expand(100, -1)
    drawn = [one.token for _ in range(count // 100) for one in sample(rows, [Draw(params, random, None)] * 100)]
    return {token: n / count for token, n in Counter(drawn).items()}


def test_temperature_zero_is_the_likeliest():
    logits = random_logits(3)
    assert tokens(logits, draw(), draw(), draw()) == logits.argmax(-1).tolist()


@pytest.mark.parametrize("temperature", [1e-320, 1e-40, 1e-6, 1e-4])
@pytest.mark.parametrize("allowed", [None, (7, 3), TokenMask(bytes([0b10001000]))], ids=["all", "few", "mask"])
def test_nearly_temperature_zero_is_the_likeliest_too(temperature, allowed):
    logits = random_logits(1)
    logits[0, [3, 900]] = torch.tensor([40.0, 30.0])
    assert tokens(logits, draw(temperature=temperature, allowed=allowed)) == [3]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_follow_the_softmax(temperature):
    logits = torch.full((1, VOCAB), -torch.inf)
    logits[0, [5, 900, 1999]] = torch.tensor([1.0, 0.0, 2.0])
    wanted = (logits[0] / temperature).softmax(-1)
    got = frequencies(logits, temperature=temperature)
    assert set(got) == {5, 900, 1999}
    for token, share in got.items():
        assert share == pytest.approx(float(wanted[token]), abs=0.04)


def test_top_k_keeps_the_k_likeliest():
    logits = random_logits(1)
    assert set(frequencies(logits, temperature=5.0, top_k=7)) == set(logits[0].topk(7).indices.tolist())


@pytest.mark.parametrize("spread", [4.0, 0.2])
def test_top_p_keeps_the_fewest_that_reach_it(spread):
    """A peaked row, where few tokens are enough, and a flat one, where the whole vocabulary has to be sorted."""
    logits = random_logits(1, spread=spread)
    probabilities, order = logits[0].softmax(-1).sort(descending=True)
    count = int((probabilities.cumsum(-1) < 0.6).sum()) + 1
    got = set(frequencies(logits, count=500, temperature=1.0, top_p=0.6))
    assert got <= set(order[:count].tolist())
    assert len(got) > min(count, 300) / 3


def test_top_p_counts_within_top_k():
    logits = torch.full((1, VOCAB), -20.0)
    logits[0, :4] = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    assert set(frequencies(logits, temperature=1.0, top_k=2, top_p=0.5)) == {0}
    assert set(frequencies(logits, temperature=1.0, top_k=2, top_p=0.6)) == {0, 1}


def test_a_seed_fixes_the_tokens_in_any_company():
    row, others = random_logits(1, 1), random_logits(6, 2)
    options = {"temperature": 1.0, "top_p": 0.9}
    alone = draw(7, **options)
    first = [tokens(row, alone)[0] for _ in range(5)]
    crowd, again = [draw(i, temperature=1.0) for i in range(6)], draw(7, **options)
    second = [tokens(torch.cat((others[:3], row, others[3:])), *crowd[:3], again, *crowd[3:])[3] for _ in range(5)]
    assert first == second
    assert len(set(first)) > 1


def test_only_allowed_tokens_are_chosen():
    logits = random_logits(1)
    worst = tuple(logits[0].topk(3, largest=False).indices.tolist())
    assert tokens(logits, draw(allowed=worst)) == [max(worst, key=lambda token: float(logits[0, token]))]
    random = draw(allowed=worst, temperature=50.0)
    assert {tokens(logits, random)[0] for _ in range(60)} == set(worst)


def test_logprobs_are_raw_and_sorted():
    logits = random_logits(4)
    draws = [draw(logprobs=2), draw(), draw(logprobs=0, temperature=3.0), draw(allowed=(3, 4), logprobs=1)]
    raw = logits.log_softmax(-1)
    drawn = sample(logits, draws)
    assert drawn[1].logprob is None
    for row, top in ((0, 2), (2, 0), (3, 1)):
        report = drawn[row].logprob
        assert report.token == drawn[row].token
        assert report.logprob == pytest.approx(float(raw[row, report.token]), abs=1e-5)
        assert [token for token, _ in report.top] == raw[row].topk(top).indices.tolist()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_row_that_is_not_finite_gives_no_token(bad):
    logits = random_logits(3)
    logits[1] = bad
    drawn = sample(logits, [draw(), draw(temperature=1.0, logprobs=1), draw()])
    assert drawn[1] is None
    assert [drawn[0].token, drawn[2].token] == logits[[0, 2]].argmax(-1).tolist()


def test_nothing_gives_nothing():
    assert sample(torch.empty(0, VOCAB), []) == []
    assert score(torch.empty(0, VOCAB), [], 3) == []
