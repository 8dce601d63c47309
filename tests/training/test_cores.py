"""Experts of the kind shared-basis in training: their gradients, their company, and what a stop costs: nothing."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from chiliad.adapters import AdapterKind, Basis, CoreShape
from chiliad.training import Course, Recipe, Trainer, fit, fit_many
from chiliad.training.native_pass import NativePass
from tests.training.test_together import _factors, _model, _rows
from tests.training.test_trainer import ALIKE, ROWS

RECIPE = Recipe(kind=AdapterKind.SHARED_BASIS, rank=4, learning_rate=2e-2, epochs=3, rows_per_batch=8, seed=3)


def _basis(model, rank=4):
    return Basis.of(model.weights(), rank)


def _course(folder, name, basis, recipe=RECIPE):
    shift = sum(map(ord, name))
    return Course(name, _rows(shift, 6), _rows(shift, 2), recipe, False, folder / name, basis=basis)


@pytest.mark.parametrize("rows", [ROWS, ALIKE], ids=["different", "alike"])
def test_gradients_equal_plain_autograd(rows):
    model = _model()
    basis, trainer = _basis(model, 3), Trainer(model)
    state = trainer.add("x", CoreShape(basis), seed=0)
    state.master.add_(torch.randn(state.master.shape, generator=torch.Generator().manual_seed(3)) * 0.1)
    state.refresh()
    cores = {key: core.clone().requires_grad_() for key, (core,) in state.factors().items()}
    pairs = dict(basis.pairs())

    def project(layer, group, x):
        ways = [(pairs[layer, s], cores[layer, s]) for s in group.sites]
        added = [x @ down.float().T @ core.T @ up.float().T for (down, up), core in ways]
        return F.linear(x, model.weight(layer, group)) + torch.cat(added, -1)

    for row in rows:
        ids, first = torch.tensor(row.ids), row.prompt_length - 1
        logits = model.logits(model.hidden(ids[:-1], torch.arange(len(ids) - 1), project=project))
        F.cross_entropy(logits[first:], ids[first + 1 :], reduction="sum").backward()
    for part in (rows[:2], rows[2:]):  # what two passes add is collected once
        trainer.forward_backward({"x": part})
    state.collect()
    wanted = torch.cat([cores[key].grad.flatten() for key in state.factors()])
    torch.testing.assert_close(state.grad, wanted, atol=1e-4, rtol=1e-3)


def test_an_expert_starts_as_its_base_and_learns(tmp_path):
    model = _model()
    trainer, basis = Trainer(model), _basis(model)
    trainer.add("x", CoreShape(basis), seed=0)
    trainer.add("base", Recipe(rank=2).shape(), seed=0)
    rows = [_rows(5, 2)]
    assert trainer.score("x", rows).loss == pytest.approx(trainer.score("base", rows).loss, abs=1e-5)
    result = fit(Trainer(model), _course(tmp_path, "learns", basis, replace(RECIPE, epochs=6, learning_rate=5e-2)))
    losses = [loss for _, loss in result.progress.losses]
    assert losses[-1] < 0.85 * losses[0]
    assert result.basis is basis


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["plain", "compiled"])
def test_cores_and_loras_together_get_what_each_gets_alone(tmp_path, dtype):
    model = _model(dtype)
    basis, other = _basis(model), _basis(model, 2)

    def courses(folder):
        return [
            _course(folder, "one", basis),
            Course("lora", _rows(5, 6), [], Recipe(rank=2, learning_rate=1e-2, epochs=2), False, folder / "lora"),
            _course(folder, "two", basis, replace(RECIPE, epochs=2)),
            _course(folder, "thin", other, replace(RECIPE, rank=2)),
        ]

    alone = {c.name: fit(Trainer(model), c) for c in courses(tmp_path / "alone")}
    together = {e.course.name: e.outcome for e in fit_many(Trainer(model), courses(tmp_path / "all"))}
    for name, result in together.items():
        if NativePass.fits(model):
            assert torch.equal(_factors(result), _factors(alone[name]))
        else:  # the order of sums in PyTorch's products follows the number of tokens
            assert (_factors(result) - _factors(alone[name])).norm() < 2e-3 * _factors(alone[name]).norm()


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path):
    model = _model(torch.bfloat16)
    basis = _basis(model)
    whole = fit(Trainer(model), _course(tmp_path / "whole", "x", basis, replace(RECIPE, epochs=5)))

    def stop(event):
        if event.step == 13:
            raise KeyboardInterrupt

    course = _course(tmp_path / "cut", "x", basis, replace(RECIPE, epochs=5))
    with pytest.raises(KeyboardInterrupt):
        fit(Trainer(model), course, on_event=stop, checkpoint_every_s=0.0)
    steps = []
    resumed = fit(Trainer(model), course, on_event=lambda event: steps.append(event.step))
    assert steps[0] == 14
    assert torch.equal(_factors(whole), _factors(resumed))


def test_a_run_on_another_basis_is_another_run(tmp_path):
    model = _model()
    course = _course(tmp_path, "x", _basis(model))
    assert course.identity() != replace(course, basis=_basis(model, 5)).identity()


def test_continuing_starts_from_the_cores(tmp_path):
    model = _model()
    basis = _basis(model)
    first = fit(Trainer(model), _course(tmp_path / "a", "x", basis))
    trainer = Trainer(model)
    state = trainer.add("x", CoreShape(basis), seed=0)
    state.load(first.factors)
    assert trainer.score("x", [_rows(sum(map(ord, "x")), 2)]).loss == pytest.approx(
        first.progress.dev_losses[first.progress.best_epoch][1], rel=1e-4
    )
