"""One training run: epochs of steps, a dev score after each, the best kept, everything resumable."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from torch import Tensor

from chiliad.errors import TrainingError
from chiliad.training.checkpoint import Checkpoint, Progress
from chiliad.training.memory import release_freed_memory
from chiliad.training.recipe import Recipe
from chiliad.training.rows import Row, epoch_batches, scoring_batches
from chiliad.training.trainer import PASS_TOKENS_MAX, Score, Trainer

CHECKPOINT_FILE = "checkpoint.safetensors"
LOSS_POINTS_PER_EPOCH = 40
RUN_FORMAT = 4
"""raised when the loop changes what it does with the same rows and settings"""


Factors = Mapping[tuple[int, str], tuple[Tensor, Tensor]]
"""(layer, site) -> (A, B), unscaled"""


@dataclass(frozen=True)
class StepEvent:
    """Progress of a run for people to look at. loss: mean over the last stretch; seconds_left: an estimate."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    tokens_per_second: float
    seconds_left: float
    dev: Score | None = None


@dataclass(frozen=True)
class FitResult:
    factors: dict[tuple[int, str], tuple[Tensor, Tensor]]
    progress: Progress
    identity: str
    """of the run: equal for equal rows, settings, start and base"""
    resumed: bool


def fit(
    trainer: Trainer,
    name: str,
    train: Sequence[Row],
    dev: Sequence[Row],
    recipe: Recipe,
    *,
    by_exact: bool,
    folder: Path,
    on_event: Callable[[StepEvent], None] | None = None,
    start: Factors | None = None,
    base_fingerprint: str = "",
    checkpoint_every_s: float = 20.0,
) -> FitResult:
    """Train one expert and return its best factors (unscaled, float32).

    by_exact: choose the epoch by exact answers on dev rows (closed answer sets) rather than by dev loss: the latest one
        within a standard error of the best, because a few hundred rows say no more than that.
    folder: holds the checkpoint; a run with the same rows, recipe, start and base that died there is continued.
    start: factors (unscaled) to continue from; without them the expert starts as the base itself.

    Raises TrainingError when the loss is not finite.
    """
    run = _Run(
        trainer, name, train, dev, recipe, by_exact, folder, on_event, start, base_fingerprint, checkpoint_every_s
    )
    try:
        return run.finish()
    finally:
        trainer.remove(name)


class _Run:
    def __init__(
        self,
        trainer: Trainer,
        name: str,
        train: Sequence[Row],
        dev: Sequence[Row],
        recipe: Recipe,
        by_exact: bool,
        folder: Path,
        on_event: Callable[[StepEvent], None] | None,
        start: Factors | None,
        base_fingerprint: str,
        checkpoint_every_s: float,
    ) -> None:
        self.trainer, self.name, self.train, self.recipe = trainer, name, train, recipe
        self.by_exact, self.on_event, self.checkpoint_every_s = by_exact, on_event, checkpoint_every_s
        self.dev_rows = len(dev)
        self.dev_batches = scoring_batches(dev, tokens_max=PASS_TOKENS_MAX)
        self.checkpoint = Checkpoint(folder / CHECKPOINT_FILE, _identity(train, dev, recipe, start, base_fingerprint))
        self.state = trainer.add(name, recipe.shape, seed=recipe.seed, weight_decay=recipe.weight_decay)
        if start is not None:
            self.state.load(start)
        self.best = self.state.master.clone()
        self.progress = Progress()
        self.recent: list[float] = []
        self.resumed = False
        self._resume()
        self.epoch_steps = [len(self._batches(epoch)) for epoch in range(recipe.epochs)]
        self.steps = sum(self.epoch_steps)

    def finish(self) -> FitResult:
        while self.progress.epochs_done < self.recipe.epochs and not self.progress.stopped_early:
            self._epoch(self.progress.epochs_done)
        self.state.master.copy_(self.best)
        factors = {key: (a.clone(), b.clone()) for key, (a, b) in self.state.factors().items()}
        return FitResult(factors, self.progress, self.checkpoint.identity, self.resumed)

    def _epoch(self, epoch: int) -> None:
        saved_at = perf_counter()
        done = self.progress.step - sum(self.epoch_steps[:epoch])
        for batch in self._batches(epoch)[done:]:
            self._step(batch, epoch)
            if perf_counter() - saved_at > self.checkpoint_every_s:
                self._save()
                saved_at = perf_counter()
        self._judge(epoch)
        self._save()

    def _step(self, batch: Sequence[Row], epoch: int) -> None:
        started = perf_counter()
        report = self.trainer.forward_backward(self.name, batch)
        if not math.isfinite(report.nll):
            raise _diverged(self.progress.step, self.recipe.learning_rate)
        rate = self.recipe.learning_rate_at(self.progress.step, self.steps)
        self.trainer.optim_step(self.name, learning_rate=rate)
        self.progress.step += 1
        self.progress.tokens += report.tokens
        self.progress.seconds += perf_counter() - started
        self.recent.append(report.nll / report.answers)
        if self.progress.step % max(1, self.epoch_steps[0] // LOSS_POINTS_PER_EPOCH) == 0:
            self.progress.losses.append((self.progress.step, sum(self.recent) / len(self.recent)))
            self.recent.clear()
            self._tell(epoch)

    def _judge(self, epoch: int) -> None:
        """Score the dev rows, keep the weights if they are the best yet, and decide whether to stop."""
        progress = self.progress
        progress.epochs_done = epoch + 1
        if not self.dev_batches:
            self.best.copy_(self.state.master)
            return
        score = self.trainer.score(self.name, self.dev_batches)
        progress.dev_losses.append((progress.step, score.loss))
        progress.dev_exact.append((progress.step, score.exact))
        value = score.exact if self.by_exact else -score.loss
        best = value if progress.best_value is None else max(value, progress.best_value)
        progress.best_value = best
        doubt = math.sqrt(best * (1 - best) / self.dev_rows) if self.by_exact else 0.0
        if value >= best - doubt:
            progress.best_epoch = epoch
            self.best.copy_(self.state.master)
        assert progress.best_epoch is not None
        progress.stopped_early = epoch - progress.best_epoch >= self.recipe.patience
        self._tell(epoch, score)

    def _batches(self, epoch: int) -> list[list[Row]]:
        recipe = self.recipe
        seed = recipe.seed * 1_000_003 + epoch
        return epoch_batches(
            self.train, rows_per_batch=recipe.rows_per_batch, tokens_max=recipe.batch_tokens_max, seed=seed
        )

    def _tell(self, epoch: int, dev: Score | None = None) -> None:
        if self.on_event is None:
            return
        progress = self.progress
        rate = progress.tokens / max(progress.seconds, 1e-9)
        left = (self.steps - progress.step) * progress.seconds / max(progress.step, 1)
        loss = progress.losses[-1][1] if progress.losses else float("nan")
        self.on_event(StepEvent(epoch, self.recipe.epochs, progress.step, self.steps, loss, rate, left, dev))

    def _save(self) -> None:
        release_freed_memory()
        tensors = {"best": self.best, "recent": _row(self.recent), **self.trainer.snapshot(self.name)}
        self.checkpoint.save(self.progress, tensors)

    def _resume(self) -> None:
        saved = self.checkpoint.load()
        self.resumed = saved is not None
        if saved is None:
            return
        self.progress, tensors = saved
        self.best.copy_(tensors.pop("best"))
        self.recent = tensors.pop("recent").tolist()
        self.trainer.restore(self.name, tensors)


def _diverged(step: int, learning_rate: float) -> TrainingError:
    return TrainingError(
        f"Training diverged: after {step} steps the loss is no number any more.",
        fix=f"Give a learning rate below {learning_rate:g}, or leave it to be chosen.",
    )


def _row(values: Sequence[float]) -> Tensor:
    import torch

    return torch.tensor(values, dtype=torch.float64)


def _identity(
    train: Sequence[Row], dev: Sequence[Row], recipe: Recipe, start: Factors | None, base_fingerprint: str
) -> str:
    about = {"format": RUN_FORMAT, "recipe": asdict(recipe), "base": base_fingerprint}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for part in (train, dev):
        digest.update(json.dumps([(row.ids, row.prompt_length) for row in part]).encode())
    for key in sorted(start or ()):
        for factor in (start or {})[key]:
            digest.update(factor.float().numpy().tobytes())
    return digest.hexdigest()
