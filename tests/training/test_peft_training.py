"""PEFT's side of a comparison with ours: the same rows teach both the same, and the same epoch is kept."""

from dataclasses import replace

import pytest
import torch
from peft import set_peft_model_state_dict

from benchmarks.peft_training import DevRule, Pupil, read_base, train
from chiliad.adapters import load_adapter
from chiliad.adapters.lora_file import tensors_of
from chiliad.base import Base, BaseStore
from chiliad.models import load_model
from chiliad.training import Course, Recipe, Row, Score, Trainer, fit
from chiliad.workspace.lessons import Lessons
from tests.base.tiny import write_folder

# transformers calls its own deprecated property while peft wraps a model
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

RECIPE = Recipe(rank=4, learning_rate=1e-2, epochs=4, rows_per_batch=8, patience=2, seed=3)
ROWS = [Row((*range(5, 8 + n % 5), n, 40 + n % 7, 2), 4 + n % 5) for n in range(60, 84)]
LESSONS = Lessons(train=ROWS, dev=ROWS[:6], rows=len(ROWS), skipped=0)


@pytest.fixture
def base(tmp_path) -> Base:
    return BaseStore(tmp_path).pull(str(write_folder(tmp_path / "tiny")), name="tiny")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_steps_from_the_same_start_teach_both_sides_the_same(base, dtype):
    trainer, pupil = Trainer(load_model(base.path, base.config)), Pupil(read_base(base.path), RECIPE, dtype)
    state = trainer.add("x", RECIPE.shape(), seed=RECIPE.seed)
    set_peft_model_state_dict(pupil.model, tensors_of(state.factors()))
    start = trainer.score("x", [ROWS])
    for step in range(12):
        rows = ROWS[step % 3 :: 3]
        trainer.forward_backward({"x": rows})
        trainer.optim_step("x", learning_rate=RECIPE.learning_rate_at(step, 12))
        pupil.step(rows, RECIPE.learning_rate_at(step, 12))
    ours, theirs = trainer.score("x", [ROWS]), pupil.score([ROWS])
    assert ours.loss < 0.9 * start.loss
    assert theirs.loss == pytest.approx(ours.loss, rel=0.02)


def test_what_was_trained_is_saved_and_leaves_the_base_as_it_was(base, tmp_path):
    bare = read_base(base.path)
    before = {name: weight.clone() for name, weight in bare.named_parameters()}
    first, again = (train(bare, LESSONS, RECIPE, tmp_path / part, by_exact=False) for part in ("first", "again"))
    assert {name for name, _ in bare.named_parameters()} == set(before)
    assert all(torch.equal(weight, before[name]) for name, weight in bare.named_parameters())
    adapters = [load_adapter(tmp_path / part, base_fingerprint=base.fingerprint) for part in ("first", "again")]
    assert adapters[0].hash == adapters[1].hash
    assert first.epochs == again.epochs == RECIPE.epochs
    assert first.tokens == RECIPE.epochs * sum(len(row.ids) - 1 for row in ROWS) < first.cells


@pytest.mark.parametrize("by_exact", [True, False])
@pytest.mark.parametrize("values", [(0.1, 0.5, 0.45, 0.2, 0.9, 0.1), (0.5, 0.4, 0.3, 0.9, 0.9, 0.9), (0.0, 0.0, 0.0)])
def test_the_epoch_that_is_kept_is_the_one_that_our_training_keeps(base, tmp_path, monkeypatch, by_exact, values):
    scores = [Score(loss=1 - value, exact=value) for value in values]
    given = iter(scores)
    monkeypatch.setattr(Trainer, "score", lambda *_: next(given))
    recipe, rule = replace(RECIPE, epochs=len(scores)), DevRule(by_exact, len(LESSONS.dev))
    course = Course("x", ROWS, LESSONS.dev, recipe, by_exact, tmp_path)
    progress = fit(Trainer(load_model(base.path, base.config)), course).progress
    kept = [rule.keeps(score) for score in scores[: progress.epochs_done]]
    assert max(epoch for epoch, is_kept in enumerate(kept) if is_kept) == progress.best_epoch
    assert progress.stopped_early == (rule.waited == recipe.patience)
