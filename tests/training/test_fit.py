"""Runs: the best epoch is kept, a killed run continues to the same bits, another run's checkpoint is not touched."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from chiliad.errors import TrainingError
from chiliad.models import Llama, LlamaConfig
from chiliad.training import Course, Recipe, Row, Score, Trainer, choose_recipe, fit
from chiliad.training.rows import epoch_batches

CONFIG = LlamaConfig(32, 48, 2, 4, 2, 8, 61, 64, 1e4, 1e-5, tied=True)
TRAIN = [Row((a, b, 40 + (a + b) % 7, 2), 2) for a in range(8) for b in range(10, 18)]
DEV = [Row((a, b, 40 + (a + b) % 7, 2), 2) for a in range(8) for b in range(18, 20)]
RECIPE = Recipe(rank=4, learning_rate=1e-2, epochs=4, rows_per_batch=8, seed=3)


def _fit(folder: Path, *, recipe=RECIPE, train=TRAIN, dev=DEV, by_exact=False, **options):
    trainer = Trainer(Llama.random(CONFIG, seed=1))
    return fit(trainer, Course("x", train, dev, recipe, by_exact, folder), **options)


def _same(a, b):
    return all(torch.equal(x, y) for key in a.factors for x, y in zip(a.factors[key], b.factors[key], strict=True))


def test_loss_falls_and_events_tell_it(tmp_path):
    events = []
    result = _fit(tmp_path, on_event=events.append)
    losses = [loss for _, loss in result.progress.losses]
    assert losses[-1] < 0.8 * losses[0]
    assert events[-1].step == events[-1].steps == result.progress.step
    assert [step for step, _ in result.progress.dev_losses] == [8, 16, 24, 32]


UNEVEN = [Row((*range(3, 3 + n * n % 11), 40 + n % 7, 2), 1) for n in range(300)]
UNEVEN_RECIPE = Recipe(rank=2, learning_rate=1e-3, epochs=5, rows_per_batch=8, batch_tokens_max=40, seed=1)


def test_every_epoch_trains_every_row_though_epochs_differ_in_batches(tmp_path):
    counts = {len(epoch_batches(UNEVEN, rows_per_batch=8, tokens_max=40, seed=1_000_003 + epoch)) for epoch in range(5)}
    assert len(counts) > 1, "the rows no longer show what this test is for"
    events = []
    result = _fit(tmp_path, recipe=UNEVEN_RECIPE, train=UNEVEN, dev=[], on_event=events.append)
    assert events[-1].step == events[-1].steps
    assert result.progress.tokens == 5 * sum(len(row.ids) - 1 for row in UNEVEN)


def clock(monkeypatch, **seconds):
    """Time that passes only while the trainer does what is named, for so many seconds: a list with the seconds until now."""
    now = [0.0]

    def taking(seconds, work):
        def done(*given, **named):
            now[0] += seconds
            return work(*given, **named)

        return done

    for module in ("fit", "run"):
        monkeypatch.setattr(sys.modules[f"chiliad.training.{module}"], "perf_counter", lambda: now[0])
    for name, each in seconds.items():
        monkeypatch.setattr(Trainer, name, taking(each, getattr(Trainer, name)))
    return now


def test_the_time_of_all_work_is_counted_and_the_speed_is_that_of_the_passes(tmp_path, monkeypatch):
    now = clock(monkeypatch, forward_backward=2.0, optim_step=1.0, score=5.0)
    progress = _fit(tmp_path).progress
    assert progress.seconds == now[0] == 32 * (2 + 1) + 4 * 5
    assert progress.tokens_per_second == progress.tokens / (32 * 2)


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path):
    whole = _fit(tmp_path / "whole")

    def stop(event):
        if event.step == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _fit(tmp_path / "cut", on_event=stop, checkpoint_every_s=0.0)
    steps = []
    resumed = _fit(tmp_path / "cut", on_event=lambda event: steps.append(event.step))
    assert steps[0] == 14
    assert _same(whole, resumed)
    assert whole.progress.losses == resumed.progress.losses


KILLED = """
import sys, time
from pathlib import Path
from tests.training.test_fit import _fit
torch = __import__("torch"); torch.set_num_threads(1)
_fit(Path(sys.argv[1]), checkpoint_every_s=0.0, on_event=lambda e: (print(e.step, flush=True), time.sleep(0.05)))
"""


def test_a_killed_process_leaves_a_run_that_continues_to_the_same_bits(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "cut")],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": f"src{os.pathsep}."},
    )  # fmt: skip
    with process:
        for line in process.stdout:
            if int(line) >= 10:
                break
        process.send_signal(signal.SIGKILL)
    started = []
    resumed = _fit(tmp_path / "cut", on_event=lambda event: started.append(event.step))
    assert started[0] > 8
    assert _same(resumed, _fit(tmp_path / "whole"))


def test_the_best_epoch_is_kept_and_training_stops_early(tmp_path):
    unlearnable = [Row((a, b, 40 + (a * b) % 7, 2), 2) for a in range(8) for b in range(18, 20)]
    eager = Recipe(rank=4, learning_rate=1e-2, epochs=12, rows_per_batch=8, patience=2, seed=3)
    progress = _fit(tmp_path, recipe=eager, dev=unlearnable).progress
    losses = [loss for _, loss in progress.dev_losses]
    assert progress.stopped_early
    assert progress.epochs_done < 12
    assert losses[progress.best_epoch] == min(losses)


def test_of_epochs_that_dev_rows_cannot_tell_apart_the_latest_is_kept(tmp_path, monkeypatch):
    exact = iter([0.90, 0.88, 0.94, 0.90, 0.86])  # one standard error at 0.94 of 16 rows is 0.06
    monkeypatch.setattr(Trainer, "score", lambda *_: Score(loss=1.0, exact=next(exact)))
    recipe = replace(RECIPE, epochs=5)
    progress = _fit(tmp_path, recipe=recipe, by_exact=True).progress
    assert (progress.best_epoch, progress.best_value) == (3, 0.94)


def test_a_checkpoint_of_other_settings_is_not_continued(tmp_path):
    _fit(tmp_path)
    steps = []
    _fit(tmp_path, recipe=Recipe(rank=2, epochs=1, rows_per_batch=8), on_event=lambda event: steps.append(event.step))
    assert steps[0] == 1


def test_a_damaged_checkpoint_says_so(tmp_path):
    _fit(tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match="damaged"):
        _fit(tmp_path)


def test_automatic_settings_follow_the_size_of_the_data():
    small, large = choose_recipe(140), choose_recipe(10_000)
    assert small.epochs > large.epochs
    assert small.rows_per_batch < large.rows_per_batch
    assert small.rank < large.rank
    assert choose_recipe(140, rank=3, epochs=1, learning_rate=5.0).rank == 3
