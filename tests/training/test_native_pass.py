"""The compiled training pass against the plain one, and against itself with other threads."""

import random

import pytest
import torch

from chiliad import kernels
from chiliad.adapters import LoraShape
from chiliad.models import SITES, Group, Llama, LlamaConfig
from chiliad.models.transformer import random_tensors
from chiliad.training import Row
from chiliad.training.lora_state import LoraState
from chiliad.training.native_pass import NativePass
from chiliad.training.packed import Packed
from chiliad.training.plain_pass import PlainPass
from chiliad.training.rows import make_batch

native_only = pytest.mark.skipif(
    kernels.native_for(torch.empty(1, dtype=torch.bfloat16)) is None, reason=f"computes with {kernels.path_in_use()}"
)
pytestmark = native_only

VOCAB = 202


def config(heads=4, kv_heads=2, head_dim=16, hidden=64, intermediate=96, tied=True):
    return LlamaConfig(hidden, intermediate, 2, heads, kv_heads, head_dim, VOCAB, 4096, 1e4, 1e-5, tied)


def rows_of(count, shortest, longest, shared=0):
    """Random rows; `shared` tokens stand in front of all of them."""
    rng = random.Random(count + longest)

    def draw(length):
        return tuple(rng.randrange(VOCAB) for _ in range(length))

    beginning = draw(shared)
    lengths = [rng.randint(shortest, longest) for _ in range(count)]
    return [Row(beginning + draw(length), shared + rng.randrange(1, length)) for length in lengths]


def model_of(c, dtype=torch.bfloat16):
    """The same base in either precision: its numbers are bfloat16 numbers."""
    return Llama(c, {name: t.bfloat16().to(dtype) for name, t in random_tensors(c, seed=1).items()}, dtype)


def state_of(model, rank=4, targets=SITES):
    state = LoraState(model.config, LoraShape(rank, 2.0 * rank, False, targets), model.dtype, seed=2)
    state.master.add_(torch.randn(state.parameters, generator=torch.Generator().manual_seed(3)) * 0.05)
    state.refresh()
    return state


def learn(kind, model, rows, **shape):
    """nll and the factors' gradients of one pass."""
    state, batch = state_of(model, **shape), make_batch(rows)
    return whole(kind(model), Packed.of([(state, batch)])), state


def whole(native, packed):
    """There and back, every answer token counting alike."""
    learning = native.learn(packed)
    learning.backward(torch.ones(len(packed.targets)))
    return learning.tally


def error(got, exact):
    return float((got - exact).norm() / exact.norm().clamp(min=1e-6))


@pytest.mark.parametrize(
    ("c", "rows", "shape"),
    [
        (config(), rows_of(6, 4, 40), {}),
        (config(), rows_of(6, 4, 40, shared=7), {"rank": 3}),
        (config(kv_heads=4, head_dim=8, tied=False), rows_of(5, 2, 9, shared=1), {"targets": ("q_proj", "down_proj")}),
        (
            config(heads=6, kv_heads=1, head_dim=40, hidden=90, intermediate=130),
            rows_of(9, 4, 99, shared=33),
            {"rank": 18},
        ),
        (config(heads=3, kv_heads=3, head_dim=64), rows_of(4, 30, 80, shared=2), {"rank": 1, "targets": ("v_proj",)}),
        (config(), rows_of(1, 5, 5), {}),
        (config(), rows_of(1, 2, 2), {}),
        (config(), rows_of(1, 700, 700), {"rank": 8}),
    ],
    ids=["mixed", "shared", "few-targets", "wide-group", "value-only", "single", "two-tokens", "long"],
)
def test_gradients_are_as_near_to_exact_ones_as_the_plain_pass_has_them(c, rows, shape):
    model = model_of(c)
    exact, exact_state = learn(PlainPass, model_of(c, torch.float32), rows, **shape)
    plain, plain_state = learn(PlainPass, model, rows, **shape)
    native, native_state = learn(NativePass, model, rows, **shape)
    assert error(native.nll, exact.nll) < max(1.5 * error(plain.nll, exact.nll), 0.01)
    for layer in range(c.num_layers):
        for group in Group:
            sites = (s.sites(layer, group) for s in (native_state, plain_state, exact_state))
            for ours, theirs, wanted in zip(*sites, strict=True):
                for name in ("down_grad", "up_grad"):
                    want = getattr(wanted, name)
                    bound = max(1.5 * error(getattr(theirs, name), want), 0.03)
                    assert error(getattr(ours, name), want) < bound


@pytest.mark.parametrize("rows", [rows_of(9, 4, 60, shared=5), rows_of(1, 300, 300)], ids=["shared", "long"])
def test_same_bits_again_and_with_other_threads(rows):
    model, threads = model_of(config()), torch.get_num_threads()
    first, first_state = learn(NativePass, model, rows)
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            again, state = learn(NativePass, model, rows)
            assert torch.equal(again.nll, first.nll)
            assert torch.equal(again.correct, first.correct)
            assert torch.equal(state.grad, first_state.grad)
    finally:
        torch.set_num_threads(threads)


def test_a_score_has_the_bits_of_the_loss():
    model = model_of(config())
    native, packed = NativePass(model), Packed.of([(state_of(model), make_batch(rows_of(6, 4, 40, shared=3)))])
    learned, scored = whole(native, packed), native.score(packed)
    assert torch.equal(scored.nll, learned.nll)
    assert torch.equal(scored.correct, learned.correct)


def test_passes_of_any_size_follow_each_other_and_gradients_add_up():
    model, state = model_of(config()), state_of(model_of(config()))
    native, batches = NativePass(model), [make_batch(rows_of(n, 4, 20, shared=n % 3)) for n in (2, 9, 1, 5)]
    for batch in batches:
        whole(native, Packed.of([(state, batch)]))
        native.score(Packed.of([(state, batch)]))
    apart = torch.zeros_like(state.grad)
    for batch in batches:
        other = state_of(model)
        whole(NativePass(model), Packed.of([(other, batch)]))
        apart += other.grad
    torch.testing.assert_close(state.grad, apart)


def test_changed_factors_are_used_after_a_refresh():
    model = model_of(config())
    native, state = NativePass(model), state_of(model)
    packed = Packed.of([(state, make_batch(rows_of(3, 4, 20)))])
    before = native.score(packed).nll
    state.master.zero_()
    state.refresh()
    after = native.score(packed).nll
    assert not torch.equal(after, before)
    assert error(after, PlainPass(model).score(packed).nll) < 0.02


def test_many_answers_are_scored_in_parts():
    model, rows = model_of(config()), [Row(tuple(range(150)), 1), Row(tuple(range(10, 170)), 1)]
    native, plain = learn(NativePass, model, rows)[0], learn(PlainPass, model_of(config(), torch.float32), rows)[0]
    assert error(native.nll, plain.nll) < 0.01


def test_other_numbers_than_bfloat16_are_left_to_the_plain_pass():
    assert NativePass.fits(model_of(config()))
    assert not NativePass.fits(model_of(config(), torch.float32))


MATES = [
    (rows_of(6, 4, 40, shared=7), {"rank": 3}),
    (rows_of(9, 4, 60), {"rank": 8, "targets": ("q_proj", "down_proj")}),
    (rows_of(1, 5, 5), {"rank": 1}),
    (rows_of(5, 20, 90, shared=33), {"rank": 18}),
]
"""experts of different shapes, each with rows of its own"""


def _learn_together(native, model, mates):
    """nll and gradients of experts that share a pass."""
    parts = [(state_of(model, **shape), make_batch(rows)) for rows, shape in mates]
    packed = Packed.of(parts)
    tally = whole(native, packed)
    return [(tally.nll[s.answers], tally.correct[s.answers], s.state.grad) for s in packed.segments]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3)])
def test_an_expert_has_the_bits_of_its_rows_whoever_shares_the_pass(order):
    model = model_of(config())
    native = NativePass(model)
    alone = [_learn_together(native, model, [mate])[0] for mate in MATES]
    together = _learn_together(native, model, [MATES[i] for i in order])
    for i, found in zip(order, together, strict=True):
        assert all(torch.equal(ours, lone) for ours, lone in zip(found, alone[i], strict=True))


def test_numbers_that_are_none_stay_with_their_expert():
    model = model_of(config())
    native = NativePass(model)
    (wanted,) = _learn_together(native, model, MATES[:1])
    ill, well = state_of(model, **MATES[1][1]), state_of(model, **MATES[0][1])
    ill.master.fill_(float("nan"))
    ill.refresh()
    for first in (ill, well):
        parts = [(first, make_batch(MATES[1 if first is ill else 0][0]))]
        parts += [(well, make_batch(MATES[0][0]))] if first is ill else [(ill, make_batch(MATES[1][0]))]
        packed = Packed.of(parts)
        well.grad.zero_()
        tally = whole(native, packed)
        (mine,) = [s for s in packed.segments if s.state is well]
        assert torch.equal(tally.nll[mine.answers], wanted[0])
        assert torch.equal(well.grad, wanted[2])
        assert not torch.isfinite(ill.grad).all()
