"""Experts that train together: each gets what it gets alone, and what goes wrong with one is its own affair."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from chiliad.errors import TrainingError
from chiliad.models import Llama, LlamaConfig
from chiliad.training import Course, Recipe, Row, Trainer, fit, fit_many
from chiliad.training.native_pass import NativePass
from chiliad.training.rows import computed_tokens, make_batch

CONFIG = LlamaConfig(32, 48, 2, 4, 2, 8, 62, 64, 1e4, 1e-5, tied=True)
RECIPE = Recipe(rank=4, learning_rate=1e-2, epochs=3, rows_per_batch=8, seed=3)
_NOWHERE = Path("nowhere")


def _rows(shift, count, long=0):
    return [
        Row((*range(long), a, b, 40 + (a + b + shift) % 7, 2), 2 + long) for a in range(count) for b in range(10, 16)
    ]


def _course(folder, name, recipe=RECIPE, count=6, **more):
    shift = sum(map(ord, name))
    dev = _rows(shift, 2)
    return Course(name, _rows(shift, count), dev, recipe, by_exact=False, folder=folder / name, **more)


def _courses(folder):
    """Different ranks, rates, sizes and ways to end: by all epochs, early, without dev rows."""
    eager = replace(RECIPE, learning_rate=0.3, epochs=9, patience=1)
    return [
        _course(folder, "even"),
        _course(folder, "ranked", replace(RECIPE, rank=2, rslora=True)),
        _course(folder, "short", replace(RECIPE, epochs=1), count=2),
        _course(folder, "eager", eager),
        replace(_course(folder, "blind"), dev=[]),
        replace(_course(folder, "long"), train=_rows(5, 4, long=30)),
    ]


def _model(dtype=torch.float32):
    model = Llama.random(CONFIG, seed=1)
    return model if dtype is model.dtype else _in_bfloat16(model)


def _in_bfloat16(model):
    from chiliad.models.transformer import random_tensors

    return Llama(model.config, random_tensors(model.config, seed=1), torch.bfloat16)


def _factors(result):
    return torch.cat([half.flatten() for key in sorted(result.factors) for half in result.factors[key]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["plain", "compiled"])
@pytest.mark.parametrize("seats", [2, 8])
def test_each_expert_gets_what_it_gets_alone(tmp_path, dtype, seats):
    model = _model(dtype)
    alone = {c.name: fit(Trainer(model), c) for c in _courses(tmp_path / "alone")}
    together = {e.course.name: e.outcome for e in fit_many(Trainer(model), _courses(tmp_path / "all"), seats=seats)}
    assert together.keys() == alone.keys()
    for name, result in together.items():
        lone = alone[name]
        assert result.progress.epochs_done == lone.progress.epochs_done
        assert result.progress.best_epoch == lone.progress.best_epoch
        if NativePass.fits(model):
            assert torch.equal(_factors(result), _factors(lone))
            assert result.progress.losses == lone.progress.losses
        else:  # the order of sums in PyTorch's products follows the number of tokens
            assert (_factors(result) - _factors(lone)).norm() < 1e-3 * _factors(lone).norm()


def test_the_oldest_end_first_and_courses_are_asked_for_when_there_is_a_seat(tmp_path):
    asked, ended = [], []

    def courses():
        for i in range(5):
            asked.append(i)
            yield _course(tmp_path, f"x{i}")

    trainer = Trainer(_model())
    for one in fit_many(trainer, courses(), seats=2):
        ended.append(one.course.name)
        assert len(asked) <= len(ended) + 1
    assert ended == [f"x{i}" for i in range(5)]
    assert not trainer._experts


def test_what_goes_wrong_with_one_expert_ends_that_one_alone(tmp_path):
    bad_row = [*_rows(0, 4), Row((1, 2, 3, 4000), 2)]
    broken = _course(tmp_path, "broken")
    broken.folder.mkdir()
    (broken.folder / "checkpoint.safetensors").write_bytes(b"no checkpoint")
    courses = [
        _course(tmp_path, "good"),
        _course(tmp_path, "wild", replace(RECIPE, learning_rate=1e30)),
        replace(_course(tmp_path, "unknown-word"), train=bad_row),
        replace(_course(tmp_path, "too-long"), dev=[Row(tuple([1] * 70), 3)]),
        replace(_course(tmp_path, "empty"), train=[]),
        broken,
        _course(tmp_path, "after"),
    ]
    ended = {e.course.name: e.outcome for e in fit_many(Trainer(_model(torch.bfloat16)), courses)}
    causes = {name: error.cause for name, error in ended.items() if isinstance(error, TrainingError)}
    assert {name: cause.split()[0] for name, cause in causes.items()} == {
        "wild": "Training", "unknown-word": "A", "too-long": "A", "empty": "There", "broken": "The",
    }  # fmt: skip
    alone = fit(Trainer(_model(torch.bfloat16)), _course(tmp_path / "alone", "good"))
    assert torch.equal(_factors(ended["good"]), _factors(alone))


def test_stopped_and_continued_together_equals_uninterrupted(tmp_path):
    model = _model()
    whole = {e.course.name: e.outcome for e in fit_many(Trainer(model), _courses(tmp_path / "whole"), seats=3)}
    seen = []

    def stop(event):
        seen.append(event)
        if len(seen) == 40:
            raise KeyboardInterrupt

    found = {}
    cut = fit_many(Trainer(model), _courses(tmp_path / "cut"), seats=3, on_event=stop, checkpoint_every_s=0.0)
    with pytest.raises(KeyboardInterrupt):
        found.update((e.course.name, e.outcome) for e in cut)
    assert 0 < len(found) < len(whole)
    for e in fit_many(Trainer(model), _courses(tmp_path / "cut"), seats=3):
        assert e.outcome.resumed or e.course.name not in found
        found[e.course.name] = e.outcome
    for name, result in found.items():
        assert (_factors(result) - _factors(whole[name])).norm() < 1e-3 * _factors(whole[name]).norm()


def test_gradients_of_a_mixed_batch_are_those_of_each_expert_alone():
    trainer, lone = Trainer(_model()), Trainer(_model())
    work = {name: course.train[:9] for name, course in ((c.name, c) for c in _courses(_NOWHERE))}
    for one in (trainer, lone):
        for seed, course in enumerate(_courses(_NOWHERE)):
            state = one.add(course.name, course.recipe.shape(), seed=seed)
            state.master.add_(torch.randn(state.parameters, generator=torch.Generator().manual_seed(seed)) * 0.1)
            state.refresh()
    mixed = trainer.forward_backward(work)
    for name, rows in work.items():
        report = lone.forward_backward({name: rows})[name]
        assert mixed[name].loss == pytest.approx(report.loss, rel=1e-5)
        assert (mixed[name].units, mixed[name].tokens) == (report.units, report.tokens)
        ours, theirs = (t._experts[name].state.grad for t in (trainer, lone))
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_computed_tokens_are_those_that_a_batch_holds():
    for rows in (_rows(0, 3), _rows(0, 3, long=9), _rows(0, 3)[:1]):
        assert computed_tokens(rows) == len(make_batch(rows).ids)
        assert make_batch(rows).tokens == sum(len(row.ids) - 1 for row in rows)
