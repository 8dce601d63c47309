"""Training experts together on one base: each has a seat while it trains, and the seats fill each pass between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

from chiliad.errors import TrainingError
from chiliad.training.run import Course, FitResult, Run, StepEvent
from chiliad.training.trainer import Trainer

SEATS = 8
"""experts in training at once: with steps of 50 to 900 tokens enough of them to fill a pass, and few to hold in memory"""
FULL_PASS_TOKENS = 512
"""beyond which more tokens make a pass no faster per token, only larger in memory and out of the caches"""
CHECKPOINT_EVERY_S = 20.0

OnEvent = Callable[[StepEvent], None]


@dataclass(frozen=True)
class Ended:
    """One expert is trained, or cannot be."""

    course: Course
    outcome: FitResult | TrainingError


def fit(
    trainer: Trainer,
    course: Course,
    *,
    on_event: OnEvent | None = None,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> FitResult:
    """Train one expert. Raises TrainingError when a number is not finite, a row is unfit or the checkpoint is damaged."""
    (ended,) = fit_many(trainer, [course], on_event=on_event, checkpoint_every_s=checkpoint_every_s)
    if isinstance(ended.outcome, TrainingError):
        raise ended.outcome
    return ended.outcome


def fit_many(
    trainer: Trainer,
    courses: Iterable[Course],
    *,
    seats: int = SEATS,
    on_event: OnEvent | None = None,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> Iterator[Ended]:
    """Train experts of different names, and yield each as it ends.

    A course is asked for when a seat is free, and memory holds no more experts than there are seats: what waits, and what
    was stopped in an earlier process, is on disk. What goes wrong with one expert ends that one alone.
    checkpoint_every_s: of an expert's own share of the time, so that many experts write no more than one.
    """
    cohort = _Cohort(trainer, courses, seats, on_event, checkpoint_every_s)
    try:
        yield from cohort.ended()
    finally:
        cohort.leave()


class _Cohort:
    def __init__(
        self,
        trainer: Trainer,
        courses: Iterable[Course],
        seats: int,
        on_event: OnEvent | None,
        checkpoint_every_s: float,
    ) -> None:
        self._trainer, self._seats, self._on_event = trainer, seats, on_event
        self._checkpoint_every_s = checkpoint_every_s
        self._waiting = iter(courses)
        self._seated: list[Run] = []

    def ended(self) -> Iterator[Ended]:
        while True:
            yield from self._admit()
            if not self._seated:
                return
            yield from self._take_steps()

    def leave(self) -> None:
        for run in self._seated:
            run.leave()

    def _admit(self) -> Iterator[Ended]:
        """Fill the seats. Who cannot begin, or had only its last word to say, has ended."""
        while len(self._seated) < self._seats and (course := next(self._waiting, None)) is not None:
            try:
                run = Run(self._trainer, course, self._checkpoint_every_s)
            except TrainingError as error:
                yield Ended(course, error)
                continue
            self._seated.append(run)
            if run.is_over:
                yield self._end(run, run.result())

    def _take_steps(self) -> Iterator[Ended]:
        """One pass, and a step for every expert that had its rows in it."""
        runs = _together(self._seated)
        started, tokens = perf_counter(), {run.name: run.tokens for run in runs}
        reports = self._trainer.forward_backward({run.name: run.lessons for run in runs})
        seconds_per_token = (perf_counter() - started) / sum(tokens.values())
        for run in runs:
            try:
                event = run.advance(reports[run.name], seconds_per_token * tokens[run.name])
            except TrainingError as error:
                yield self._end(run, error)
                continue
            if event is not None and self._on_event is not None:
                self._on_event(event)
            if run.is_over:
                yield self._end(run, run.result())

    def _end(self, run: Run, outcome: FitResult | TrainingError) -> Ended:
        self._seated.remove(run)
        run.leave()
        return Ended(run.course, outcome)


def _together(seated: Sequence[Run]) -> list[Run]:
    """Who comes first in the order of seats takes its step, and so do those after it whose steps fit into the pass.

    So the oldest finish soonest, and results come as early as they can.
    """
    chosen: list[Run] = []
    tokens = 0
    for run in seated:
        if not chosen or tokens + run.tokens <= FULL_PASS_TOKENS:
            chosen.append(run)
            tokens += run.tokens
    return chosen
