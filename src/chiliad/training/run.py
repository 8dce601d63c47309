"""One expert's training, a step at a time: a dev score after each epoch, the best kept, everything resumable."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from chiliad.adapters import AdapterKind, Basis, Factors
from chiliad.errors import TrainingError
from chiliad.training.checkpoint import Checkpoint, Progress
from chiliad.training.memory import release_freed_memory
from chiliad.training.opinion import Agreement, Opinion, agreement, started
from chiliad.training.recipe import Recipe
from chiliad.training.rows import Lesson, Seen, computed_tokens, cut, epoch_batches, flat, length_of, scoring_batches
from chiliad.training.trainer import PASS_TOKENS_MAX, Score, StepReport, Trainer

CHECKPOINT_FILE = "checkpoint.safetensors"
CHECKPOINT_SHARE = 0.01
"""of the time may go into checkpoints at the ends of epochs, which can be many and short"""
LOSS_POINTS_PER_EPOCH = 40
RUN_FORMAT = 5
"""raised when the loop changes what it does with the same rows and settings"""


@dataclass(frozen=True)
class Course:
    """What one expert is to be taught, and how.

    train, dev: rows, or opinions.
    by_exact: choose the epoch by exact answers on dev rows (closed answer sets) rather than by dev loss: the latest one
        within a standard error of the best, because a few hundred rows say no more than that.
    folder: holds the checkpoint; a run with the same rows, recipe, start and base that died there is continued.
    start: factors (unscaled) to continue from; without them the expert starts as the base itself.
    base: what tells the base, in the precision that it is trained on, from others.
    basis: what an expert of the kind shared-basis has its cores between.
    test: opinions that training is to be judged by in the end.
    """

    name: str
    train: Sequence[Lesson]
    dev: Sequence[Lesson]
    recipe: Recipe
    by_exact: bool
    folder: Path
    start: Factors | None = None
    base: str = ""
    basis: Basis | None = None
    test: Sequence[Opinion] = ()

    @property
    def virtual_tokens(self) -> int:
        """That stand before every row."""
        return self.recipe.virtual_tokens if self.recipe.kind is AdapterKind.PREFIX else 0

    def identity(self) -> str:
        """Equal for equal rows, settings, start and base."""
        about = {"format": RUN_FORMAT, "recipe": asdict(self.recipe), "base": self.base}
        about["basis"] = self.basis.hash if self.basis else None
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        for part in (self.train, self.dev, *([self.test] if self.test else [])):
            digest.update(json.dumps([lesson.identity for lesson in part]).encode())
        start = self.start or {}
        for key in sorted(start):
            for factor in start[key]:
                digest.update(factor.float().numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class StepEvent:
    """Progress of a run for people to look at. loss: mean over the last stretch; seconds_left: an estimate; right: what the
    share `dev.exact` counts."""

    name: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    tokens_per_second: float
    seconds_left: float
    dev: Score | None = None
    right: str = "exact"


@dataclass(frozen=True)
class FitResult:
    """factors: the best ones, unscaled, float32, and the course's basis if it has one; identity: the course's; agreement:
    with the course's test, if it has one."""

    factors: Factors
    progress: Progress
    identity: str
    resumed: bool
    basis: Basis | None = None
    agreement: Agreement | None = None


class Run:
    """An expert with a seat in the trainer. Its steps depend on its course alone, not on when others take theirs."""

    def __init__(self, trainer: Trainer, course: Course, checkpoint_every_s: float) -> None:
        """Raises TrainingError for a damaged checkpoint and for a row that the base cannot read."""
        _check(
            course,
            trainer.model.config.max_position_embeddings - course.virtual_tokens,
            trainer.model.config.vocab_size,
        )
        self.course, self.name = course, course.name
        self._trainer, self._recipe = trainer, course.recipe
        self._checkpoint = Checkpoint(course.folder / CHECKPOINT_FILE, course.identity())
        self._checkpoint_every_s = checkpoint_every_s
        saved = self._checkpoint.load()
        self.resumed = saved is not None
        self._progress, tensors = saved or (Progress(), {})
        self._recent: list[float] = tensors.pop("recent").tolist() if saved else []
        known = tensors.pop("start", None)
        self._take_seat(tensors)
        self._look_at_start(known)
        self._epoch_steps = [len(self._batches(epoch)) for epoch in range(self._recipe.epochs)]
        self._steps = sum(self._epoch_steps)
        self._saved_s, self._save_took_s = self._progress.seconds, 0.0
        self._queue = [] if self.is_over else self._batches_left()

    @property
    def is_over(self) -> bool:
        return self._progress.epochs_done == self._recipe.epochs or self._progress.stopped_early

    @property
    def lessons(self) -> Sequence[Lesson]:
        """Those of the next step."""
        return self._queue[0]

    @property
    def tokens(self) -> int:
        """That the next step computes."""
        return computed_tokens(self.lessons)

    def advance(self, report: StepReport, seconds: float) -> StepEvent | None:
        """Take a step with the gradient of `lessons`, whose pass took `seconds`, and what follows at the end of an epoch.

        Returns an event when there is something to tell. Raises TrainingError when a number is not finite.
        """
        progress, epoch = self._progress, self._progress.epochs_done
        if not math.isfinite(report.loss):
            raise self._diverged()
        with self._timed():
            rate = self._recipe.learning_rate_at(progress.step, self._steps)
            self._trainer.optim_step(self.name, learning_rate=rate)
        self._queue.pop(0)
        progress.step += 1
        progress.tokens += report.tokens
        progress.seconds += seconds
        self._recent.append(report.loss / report.units)
        event, pause_s = self._noted(epoch), self._checkpoint_every_s
        if not self._queue:
            event = self._judge(epoch) or event
            self._queue = [] if self.is_over else self._batches(epoch + 1)
            pause_s = min(pause_s, self._save_took_s / CHECKPOINT_SHARE)
        if self.is_over or progress.seconds - self._saved_s > pause_s:
            self._save()
        return event

    def result(self) -> FitResult:
        """What came of it, once it is over."""
        assert self.is_over
        self._state.master.copy_(self._best)
        self._state.refresh()
        factors = {key: tuple(t.clone() for t in tensors) for key, tensors in self._state.factors().items()}
        with self._timed():
            agreed = agreement(self._test, self._read(self._test)) if self._test else None
        return FitResult(factors, self._progress, self._checkpoint.identity, self.resumed, self.course.basis, agreed)

    def leave(self) -> None:
        """Give up the seat."""
        self._trainer.remove(self.name)

    def _take_seat(self, tensors: dict[str, Tensor]) -> None:
        recipe, course = self._recipe, self.course
        shape = recipe.shape(course.basis)
        self._state = self._trainer.add(self.name, shape, seed=recipe.seed, weight_decay=recipe.weight_decay)
        if course.start is not None:
            self._state.load(course.start)
        self._best = tensors.pop("best") if tensors else self._state.master.clone()
        if tensors:
            self._trainer.restore(self.name, tensors)

    def _look_at_start(self, known: Tensor | None) -> None:
        """Set what is learned and judged; opinions with what the expert makes of them before its first step.

        known: that, if an earlier process looked.
        """
        course = self.course
        opinions = [one for one in (*course.train, *course.dev, *course.test) if isinstance(one, Opinion)]
        self._right = "preferred" if opinions else "exact"
        if known is None:
            with self._timed():
                seen = self._read(opinions)
            known = torch.tensor([row.nll for rows in seen for row in rows], dtype=torch.float64)
        self._start, numbers = known, iter(known.tolist())
        self._train, dev = (
            [started(one, numbers) if isinstance(one, Opinion) else one for one in part]
            for part in (course.train, course.dev)
        )
        self._test = [started(one, numbers) for one in course.test]
        self._dev_batches = scoring_batches(dev, tokens_max=PASS_TOKENS_MAX)

    def _read(self, lessons: Sequence[Lesson]) -> list[tuple[Seen, ...]]:
        """What the expert makes of each lesson's rows now, in the order of the lessons."""
        order = sorted(range(len(lessons)), key=lambda i: length_of(lessons[i]))
        batches = cut([lessons[i] for i in order], tokens_max=PASS_TOKENS_MAX)
        seen = dict(zip(order, self._trainer.read(self.name, batches), strict=True))
        return [seen[i] for i in range(len(lessons))]

    def _batches(self, epoch: int) -> list[list[Lesson]]:
        recipe = self._recipe
        seed = recipe.seed * 1_000_003 + epoch
        return epoch_batches(
            self._train, rows_per_batch=recipe.rows_per_batch, tokens_max=recipe.batch_tokens_max, seed=seed
        )

    def _batches_left(self) -> list[list[Lesson]]:
        epoch = self._progress.epochs_done
        return self._batches(epoch)[self._progress.step - sum(self._epoch_steps[:epoch]) :]

    def _noted(self, epoch: int) -> StepEvent | None:
        """A point of the loss curve, if one is due."""
        if self._progress.step % max(1, self._epoch_steps[0] // LOSS_POINTS_PER_EPOCH):
            return None
        self._progress.losses.append((self._progress.step, sum(self._recent) / len(self._recent)))
        self._recent.clear()
        return self._event(epoch)

    def _judge(self, epoch: int) -> StepEvent | None:
        """Score the dev rows, keep the weights if they are the best yet, and decide whether to stop."""
        progress = self._progress
        progress.epochs_done = epoch + 1
        if not self._dev_batches:
            self._best.copy_(self._state.master)
            return None
        with self._timed():
            score = self._trainer.score(self.name, self._dev_batches)
        if not math.isfinite(score.loss):
            raise self._diverged()
        progress.dev_losses.append((progress.step, score.loss))
        progress.dev_exact.append((progress.step, score.exact))
        value = score.exact if self.course.by_exact else -score.loss
        best = value if progress.best_value is None else max(value, progress.best_value)
        progress.best_value = best
        doubt = math.sqrt(best * (1 - best) / len(self.course.dev)) if self.course.by_exact else 0.0
        if value >= best - doubt:
            progress.best_epoch = epoch
            self._best.copy_(self._state.master)
        assert progress.best_epoch is not None
        progress.stopped_early = epoch - progress.best_epoch >= self._recipe.patience
        return self._event(epoch, score)

    def _event(self, epoch: int, dev: Score | None = None) -> StepEvent:
        progress = self._progress
        left = (self._steps - progress.step) * progress.pass_seconds / max(progress.step, 1)
        loss = progress.losses[-1][1] if progress.losses else float("nan")
        return StepEvent(
            self.name,
            epoch,
            self._recipe.epochs,
            progress.step,
            self._steps,
            loss,
            progress.tokens_per_second,
            left,
            dev,
            self._right,
        )

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Count what is done in the block among the seconds of the run, beside its passes."""
        started = perf_counter()
        yield
        took = perf_counter() - started
        self._progress.seconds += took
        self._progress.beside_seconds += took

    def _save(self) -> None:
        """What the next step needs; at the end only the best weights."""
        started = perf_counter()
        release_freed_memory()
        recent = torch.tensor(self._recent, dtype=torch.float64)
        tensors = {"best": self._best, "recent": recent, "start": self._start}
        if not self.is_over:
            tensors |= self._trainer.snapshot(self.name)
        self._checkpoint.save(self._progress, tensors)
        self._saved_s, self._save_took_s = self._progress.seconds, perf_counter() - started

    def _diverged(self) -> TrainingError:
        return TrainingError(
            f"Training diverged: after {self._progress.step} steps the loss is no number any more.",
            fix=f"Give a learning rate below {self._recipe.learning_rate:g}, or leave it to be chosen.",
        )


def _check(course: Course, positions: int, words: int) -> None:
    """A row that the base cannot read would take the other experts' passes with it."""
    for row in flat((*course.train, *course.dev, *course.test)):
        if not (1 <= row.prompt_length < len(row.ids) <= positions + 1 and 0 <= min(row.ids) <= max(row.ids) < words):
            raise TrainingError(
                f"A row of {len(row.ids)} tokens, {row.prompt_length} of them its prompt, cannot be trained on.",
                fix=f"Give rows of at most {positions} known tokens with a prompt and an answer.",
            )
    if not course.train:
        raise TrainingError("There are no rows to train on.", fix="Give rows with an input and an answer.")
