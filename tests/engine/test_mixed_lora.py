"""Which adapters of a batch are computed together."""

from __future__ import annotations

import pytest
import torch

from chiliad.adapters import AdapterHash
from chiliad.engine.mixed_lora import MixedLora, Span, _divide
from chiliad.models import Group
from tests.engine.tiny import EXPERTS


def alone(**tokens):
    apart, together = _divide({AdapterHash(name): list(range(count)) for name, count in tokens.items()})
    assert set(apart) | set(together) == set(tokens)
    return set(apart)


@pytest.mark.parametrize(
    ("tokens", "apart"),
    [
        ({"a": 1, "b": 1, "c": 1}, set()),
        ({"a": 1}, set()),
        ({"a": 40}, set()),
        ({"a": 100}, {"a"}),
        ({"a": 100, "b": 1, "c": 2}, {"a"}),
        ({"a": 30, "b": 30}, set()),
        ({"a": 30, "b": 1, "c": 1, "d": 1}, {"a"}),
        ({"a": 3, "b": 2, "c": 1}, set()),
    ],
)
def test_many_tokens_or_much_padding_set_an_adapter_apart(tokens, apart):
    assert alone(**tokens) == apart


@pytest.mark.parametrize("expert", EXPERTS)
@pytest.mark.parametrize("segment_min", [1, 64])
def test_a_batch_adds_what_the_factors_say(tiny, monkeypatch, expert, segment_min):
    """y = W x + B A x for tokens 2, 3, 4 and 7 of nine; the base alone for the rest, and another expert for token 8."""
    monkeypatch.setattr("chiliad.engine.mixed_lora.SEGMENT_MIN", segment_min)
    lora = MixedLora(tiny.model)
    adapter, other = tiny.adapters[expert], tiny.adapters["another of the same shape"]
    project = lora.batch([Span(2, 5, adapter), Span(7, 8, adapter), Span(8, 9, other)])
    config = tiny.model.config
    for layer in range(config.num_layers):
        for group in Group:
            x = torch.randn(9, config.group_widths(group)[0], generator=torch.Generator().manual_seed(layer))
            got = project(layer, group, x).split(config.group_widths(group)[1], dim=-1)
            base = tiny.model.project(layer, group, x).split(config.group_widths(group)[1], dim=-1)
            for site, y, wanted in zip(group.sites, got, base, strict=True):
                for rows, one in (([2, 3, 4, 7], adapter), ([8], other)):
                    if (layer, site) in one.factors:
                        a, b = one.factors[layer, site]
                        wanted[rows] += x[rows] @ a.T @ b.T
                torch.testing.assert_close(y, wanted)
