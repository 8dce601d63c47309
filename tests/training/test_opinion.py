"""Opinions: their gradient against plain autograd of the published losses, what they teach, and how their runs resume."""

import math
import random
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from chiliad.adapters import LoraShape
from chiliad.models import SITES, Llama, LlamaConfig
from chiliad.training import Course, Pair, Recipe, Row, Thumb, Trainer, fit, fit_many
from chiliad.training.native_pass import NativePass
from chiliad.training.packed import Packed
from chiliad.training.plain_pass import PlainPass
from chiliad.training.rows import epoch_batches, flat, make_batch
from tests.training.test_fit import clock
from tests.training.test_native_pass import config, error, model_of, native_only, rows_of, state_of
from tests.training.test_together import _course, _factors, _in_bfloat16

CONFIG = LlamaConfig(32, 48, 2, 4, 2, 8, 62, 64, 1e4, 1e-5, tied=True)
BETA = 0.3
GOOD, BAD, END = 40, 50, 2


def _row(prompt, answer):
    return Row((*prompt, *answer, END), len(prompt))


def _opinions(start):
    """Pairs and thumbs of uneven lengths, with made-up numbers for where training started."""
    rng = random.Random(5)

    def row(prompt, length):
        return _row(prompt, tuple(rng.randrange(3, 61) for _ in range(length)))

    prompts = [tuple(rng.randrange(3, 61) for _ in range(n)) for n in (2, 5, 3, 9)]
    pairs = [Pair(row(p, 3), row(p, 1 + n), BETA, start and (10.0 + n, 12.0)) for n, p in enumerate(prompts)]
    thumbs = [Thumb(row(p, 2 + n), n % 2 == 0, BETA, 0.5 + n, start and (9.0 + n,)) for n, p in enumerate(prompts)]
    return [*pairs, *thumbs]


def _published_loss(logp, opinion):
    """As the papers and TRL write them, of log-probabilities of whole answers: `sigmoid` and `apo_zero_unpaired`."""
    reference = [-nll for nll in opinion.start]
    if isinstance(opinion, Pair):
        logits = (logp[0] - logp[1]) - (reference[0] - reference[1])
        return -F.logsigmoid(opinion.beta * logits)
    chance = torch.sigmoid(opinion.beta * (logp[0] - reference[0]))
    return opinion.weight * (1 - chance if opinion.good else chance)


def _logp(model, factors, scale, row):
    """Of a row's answer, by autograd through explicit LoRA on that row alone."""

    def project(layer, group, x):
        added = [x @ factors[layer, site][0].T @ factors[layer, site][1].T * scale for site in group.sites]
        return F.linear(x, model.weight(layer, group)) + torch.cat(added, -1)

    ids = torch.tensor(row.ids)
    logits = model.logits(model.hidden(ids[:-1], torch.arange(len(ids) - 1), project=project))
    first = row.prompt_length - 1
    return -F.cross_entropy(logits[first:], ids[first + 1 :], reduction="sum")


def _trainer(model, seed=3):
    trainer = Trainer(model)
    state = trainer.add("x", LoraShape(3, 6.0, False, SITES), seed=2)
    state.master.add_(torch.randn(state.parameters, generator=torch.Generator().manual_seed(seed)) * 0.1)
    state.refresh()
    return trainer, state


@pytest.mark.parametrize("kind", [Pair, Thumb])
def test_gradients_equal_plain_autograd_of_the_published_loss(kind):
    opinions = [one for one in _opinions(start=True) if isinstance(one, kind)]
    trainer, state = _trainer(Llama.random(CONFIG, seed=1))
    factors = {key: tuple(half.clone().requires_grad_() for half in pair) for key, pair in state.factors().items()}
    losses = [
        _published_loss([_logp(trainer.model, factors, state.shape.scale, row) for row in one.rows], one)
        for one in opinions
    ]
    torch.stack(losses).sum().backward()
    report = trainer.forward_backward({"x": opinions})["x"]
    assert report.loss == pytest.approx(sum(loss.item() for loss in losses), rel=1e-4)
    assert report.units == len(opinions)
    for key, (down, up) in factors.items():
        place = state._places[key]
        torch.testing.assert_close(place.down(state.grad), down.grad, atol=1e-5, rtol=1e-3)
        torch.testing.assert_close(place.up(state.grad), up.grad, atol=1e-5, rtol=1e-3)


@native_only
def test_compiled_passes_take_weights_of_either_sign():
    model, rows = model_of(config()), rows_of(8, 4, 40, shared=5)
    batch = make_batch(rows)
    weights = torch.linspace(-1.5, 1.0, len(batch.targets))

    def gradient(kind, base):
        state = state_of(base)
        kind(base).learn(Packed.of([(state, batch)])).backward(weights)
        return state.grad

    exact = gradient(PlainPass, model_of(config(), torch.float32))
    plain, native = gradient(PlainPass, model), gradient(NativePass, model)
    assert error(native, exact) < max(1.5 * error(plain, exact), 0.03)


@pytest.mark.parametrize("margin", [0.0, 40.0, -40.0, 1e6, -1e6])
def test_far_margins_give_finite_numbers(margin):
    pair = Pair(Row((1, 2), 1), Row((1, 3), 1), 1.0, (margin, 0.0))
    verdict = pair.judge([_seen(0.0), _seen(0.0)])
    assert math.isfinite(verdict.loss)
    assert verdict.slopes[0] == -verdict.slopes[1]
    assert 0 <= verdict.slopes[0] <= 1
    assert verdict.right is (margin > 0)


def _seen(nll):
    from chiliad.training.rows import Seen

    return Seen(nll, False)


def test_a_pair_is_never_divided():
    opinions = _opinions(start=True)
    batches = epoch_batches(opinions, rows_per_batch=3, tokens_max=25, seed=4)
    assert sorted(id(one) for batch in batches for one in batch) == sorted(map(id, opinions))
    whole, _ = _trainer(Llama.random(CONFIG, seed=1))
    report = whole.forward_backward({"x": opinions})["x"]
    assert report.tokens == sum(len(row.ids) - 1 for row in flat(opinions))


def _prompts(numbers):
    return [(a, b, c) for a in range(3, 7) for b in range(10, 14) for c in numbers]


def _answers(prompt):
    """(what a flag in the prompt asks for, the other)"""
    return ((BAD,), (GOOD,)) if prompt[0] % 2 else ((GOOD,), (BAD,))


def _pairs(numbers):
    return [Pair(*(_row(prompt, answer) for answer in _answers(prompt)), BETA) for prompt in _prompts(numbers)]


def _thumbs(numbers):
    return [
        Thumb(_row(prompt, answer), good, BETA)
        for prompt in _prompts(numbers)
        for answer, good in zip(_answers(prompt), (True, False), strict=True)
    ]


def _preferring(folder: Path, kind=_pairs, name="x", **more):
    recipe = Recipe(rank=4, learning_rate=1e-2, epochs=3, rows_per_batch=8, seed=3)
    return Course(name, kind(range(20, 26)), kind((26,)), recipe, False, folder, test=kind((27, 28)), **more)


@pytest.mark.parametrize("kind", [_pairs, _thumbs])
def test_preferences_flip_which_answer_is_likelier_on_prompts_that_were_not_seen(tmp_path, kind):
    result = fit(Trainer(Llama.random(CONFIG, seed=1)), _preferring(tmp_path, kind))
    agreed = result.agreement
    assert agreed.opinions == len(kind((27, 28)))
    assert agreed.agreed > 0.9
    assert agreed.loss < 0.6
    if kind is _pairs:
        assert agreed.likelier_before < 0.3
        assert agreed.likelier > 0.9
    else:
        assert agreed.likelier is agreed.likelier_before is None


def test_training_goes_on_from_an_experts_own_start(tmp_path):
    first = fit(Trainer(Llama.random(CONFIG, seed=1)), _preferring(tmp_path / "first"))
    again = fit(Trainer(Llama.random(CONFIG, seed=1)), _preferring(tmp_path / "again", start=first.factors))
    assert again.agreement.likelier_before == first.agreement.likelier
    assert again.progress.losses[0][1] == pytest.approx(math.log(2), rel=0.2)


def test_the_time_to_read_opinions_before_and_after_is_counted(tmp_path, monkeypatch):
    now = clock(monkeypatch, forward_backward=2.0, read=30.0)
    progress = fit(Trainer(Llama.random(CONFIG, seed=1)), _preferring(tmp_path)).progress
    assert progress.seconds == now[0]
    assert progress.beside_seconds >= 2 * 30
    assert progress.pass_seconds == 2 * progress.step


@pytest.mark.parametrize("kind", [_pairs, _thumbs])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, kind):
    model = Llama.random(CONFIG, seed=1)
    whole = fit(Trainer(model), _preferring(tmp_path / "whole", kind))

    def stop(event):
        if event.step == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(Trainer(model), _preferring(tmp_path / "cut", kind), on_event=stop, checkpoint_every_s=0.0)
    steps = []
    resumed = fit(Trainer(model), _preferring(tmp_path / "cut", kind), on_event=lambda event: steps.append(event.step))
    assert steps[0] == 18
    assert resumed.resumed
    assert torch.equal(_factors(resumed), _factors(whole))
    assert (resumed.progress.losses, resumed.agreement) == (whole.progress.losses, whole.agreement)
    found = fit(Trainer(model), _preferring(tmp_path / "cut", kind))
    assert found.agreement == whole.agreement


@native_only
def test_preferences_and_examples_share_passes_and_each_gets_what_it_gets_alone(tmp_path):
    model = _in_bfloat16(Llama.random(CONFIG, seed=1))

    def courses(folder):
        return [
            _preferring(folder / "pairs", _pairs, "pairs"),
            _course(folder, "rows"),
            _preferring(folder / "thumbs", _thumbs, "thumbs"),
        ]

    alone = {course.name: fit(Trainer(model), course) for course in courses(tmp_path / "alone")}
    together = {one.course.name: one.outcome for one in fit_many(Trainer(model), courses(tmp_path / "all"))}
    for name, result in alone.items():
        assert torch.equal(_factors(together[name]), _factors(result))
        assert together[name].agreement == result.agreement


def test_what_decides_a_run_is_in_its_identity(tmp_path):
    course = _preferring(tmp_path)
    stricter = [Pair(one.chosen, one.rejected, 2 * BETA) for one in course.train]
    turned = [Pair(one.rejected, one.chosen, BETA) for one in course.train]
    others = [Course("x", train, course.dev, course.recipe, False, tmp_path, test=course.test)
              for train in (stricter, turned, _thumbs(range(20, 26)))]  # fmt: skip
    assert len({one.identity() for one in (course, *others)}) == 4
