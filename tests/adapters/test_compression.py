"""Adapters brought onto a basis that they share."""

import pytest
import torch

from chiliad.adapters import AdapterHash, LoraAdapter, LoraShape
from chiliad.adapters.compression import compressed
from chiliad.errors import BrokenAdapter

SITES = {"q_proj": (24, 20), "up_proj": (24, 40)}
"""site -> (in, out)"""


def _adapter(seed, rank=3, sites=SITES, common=None):
    """Random factors; with `common`, those of all such adapters lie in the span of a few directions."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    def thin(width, other):
        if common is None:
            return draw(rank, width)
        return draw(rank, common) @ torch.randn(common, width, generator=torch.Generator().manual_seed(other))

    factors = {
        (layer, site): (thin(width_in, layer), thin(width_out, 10 + layer).T)
        for layer in range(2)
        for site, (width_in, width_out) in sites.items()
    }
    return LoraAdapter(AdapterHash(str(seed)), LoraShape(rank, float(rank), False, tuple(sites)), None, factors)


def _change(adapter, key):
    a, b = adapter.factors[key]
    return b @ a


def test_adapters_that_share_few_directions_lose_nothing_but_roundings():
    found = compressed([_adapter(seed, common=5) for seed in range(6)], 5)
    assert max(found.errors) < 0.02


def test_errors_are_what_is_missing_from_the_changes():
    adapters = [_adapter(seed) for seed in range(4)]
    found = compressed(adapters, 6)
    pairs = dict(found.basis.pairs())
    for adapter, cores, error in zip(adapters, found.cores, found.errors, strict=True):
        left = whole = 0.0
        for key, (down, up) in pairs.items():
            change = _change(adapter, key)
            left += float((change - up.float() @ cores[key][0].float() @ down.float()).square().sum())
            whole += float(change.square().sum())
        assert error == pytest.approx((left / whole) ** 0.5, rel=1e-3)
        assert 0.1 < error < 1


def test_more_rank_is_nearer_and_enough_of_it_is_exact():
    adapters = [_adapter(seed) for seed in range(4)]
    errors = [sum(compressed(adapters, rank).errors) for rank in (2, 4, 8, 12)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.05  # 4 adapters of rank 3: their directions all fit


def test_it_is_nearer_than_a_basis_of_random_directions():
    adapters = [_adapter(seed) for seed in range(4)]
    found = compressed(adapters, 6)
    for key, (a, b) in adapters[0].factors.items():
        change = b @ a
        down = torch.linalg.qr(torch.randn(a.shape[1], 6, generator=torch.Generator().manual_seed(1))).Q
        up = torch.linalg.qr(torch.randn(b.shape[0], 6, generator=torch.Generator().manual_seed(2))).Q
        random = (change - up @ (up.T @ change @ down) @ down.T).norm()
        mine, mine_up = (half.float() for half in dict(found.basis.pairs())[key])
        assert (change - mine_up @ (mine_up.T @ change @ mine.T) @ mine).norm() < random


def test_a_large_adapter_does_not_push_a_small_one_out():
    small, large = _adapter(1), _adapter(2)
    large = LoraAdapter(large.hash, large.shape, None, {key: (a, 100 * b) for key, (a, b) in large.factors.items()})
    errors = compressed([small, large], 4).errors
    assert abs(errors[0] - errors[1]) < 0.3


def test_an_adapter_that_changes_nothing_comes_through():
    still = _adapter(1)
    still = LoraAdapter(still.hash, still.shape, None, {key: (a, 0 * b) for key, (a, b) in still.factors.items()})
    found = compressed([still, _adapter(2)], 3)
    assert all(torch.isfinite(core).all() for (core,) in found.cores[0].values())


def test_what_cannot_share_is_refused():
    with pytest.raises(BrokenAdapter, match="different linear layers"):
        compressed([_adapter(1), _adapter(2, sites={"q_proj": (24, 20)})], 3)
    with pytest.raises(BrokenAdapter, match="no basis of rank 21"):
        compressed([_adapter(1)], 21)
