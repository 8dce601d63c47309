"""From assignments to versions: experts trained together on one base, each then written, evaluated and gated."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chiliad.config import Precision
from chiliad.errors import BaseModelError, ChiliadError, ExpertNotFound, InUse, StoreError, TrainingError
from chiliad.ledger import MachinePrice
from chiliad.registry import ExpertVersion
from chiliad.registry.fine_tuned import RECORDED_AS
from chiliad.registry.runs import training_run
from chiliad.store.files import folder_lock
from chiliad.training import Course, FitResult, Recipe, Trainer, fit_many
from chiliad.training.run import CHECKPOINT_FILE
from chiliad.workspace.assignment import Assignment
from chiliad.workspace.expert import Expert
from chiliad.workspace.gating import gated
from chiliad.workspace.lessons import Lessons, course_of, facts_of, recipe_for, write_files
from chiliad.workspace.lineage import learned_before
from chiliad.workspace.opinions import lessons_for
from chiliad.workspace.progress import Reporter
from chiliad.workspace.proof import prove_and_keep

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace


@dataclass(frozen=True)
class Taught:
    """What came of an assignment: a version, live or refused by the gate, or the reason why there is none."""

    assignment: Assignment
    outcome: Expert | ChiliadError


@contextmanager
def taught(workspace: Workspace, assignment: Assignment) -> Iterator[Expert]:
    """Train, evaluate and gate one expert. What would repeat the end of it stays on disk unless the block ends well.

    Raises what `Teaching` raises, and the reason why there is no version.
    """
    with workspace.reporter as reporter:
        teaching = Teaching(workspace, assignment.base, assignment.base_precision, reporter)
        with closing(teaching.ended([assignment])) as ended:
            outcome = next(ended).outcome
            if isinstance(outcome, ChiliadError):
                raise outcome
            yield outcome
            next(ended, None)


@dataclass(frozen=True)
class _Pupil:
    """An expert in training. held: the lock of its run's folder, so that two commands never share a checkpoint."""

    assignment: Assignment
    lessons: Lessons
    recipe: Recipe
    run: Path
    held: ExitStack


class Teaching:
    """Trains experts of one base, all in one precision of it. What goes wrong with one of them ends that one alone."""

    def __init__(self, workspace: Workspace, base: str, precision: Precision, reporter: Reporter) -> None:
        """Raises BaseNotFound."""
        self._workspace, self._precision, self._reporter = workspace, precision, reporter
        self._served = workspace.served(base)
        self._pupils: dict[str, _Pupil] = {}
        self._refused: list[Taught] = []

    def ended(self, assignments: Iterable[Assignment]) -> Generator[Taught]:
        """Yield each assignment as it ends; the next one is asked for when there is room.

        Until the next is asked for, what would repeat the end of the last one stays on disk: what is noted by then is
        never done again, and what is not is found again. Raises StoreError, BaseModelError and TrainingError for a base
        that nobody can train on; the same assignments continue later.
        """
        trainer = Trainer(self._served.model_in(self._precision))
        try:
            for ended in fit_many(trainer, self._courses(assignments), on_event=self._reporter.step):
                yield from self._refusals()
                yield from self._finish(ended.course.name, ended.outcome)
            yield from self._refusals()
        finally:
            for pupil in self._pupils.values():
                pupil.held.close()

    def _courses(self, assignments: Iterable[Assignment]) -> Iterator[Course]:
        for assignment in assignments:
            try:
                yield self._begin(assignment)
            except InUse as error:
                self._refused.append(Taught(assignment, error))
            except (StoreError, BaseModelError):
                raise
            except ChiliadError as error:
                self._refused.append(Taught(assignment, error))

    def _begin(self, assignment: Assignment) -> Course:
        if assignment.options.baselines:
            self._reporter.stage("small embedder", 0, 0)
            _ = self._workspace.embedder  # fetched before the long work: without it there is no card
        with ExitStack() as held:
            dataset_hash, settings = assignment.dataset.hash, assignment.settings_hash[:8]
            run = training_run(self._workspace.folder, assignment.name, dataset_hash, settings)
            held.enter_context(folder_lock(run, wait=False))
            assert assignment.base_precision is self._precision
            served, amended, parent = self._served, assignment.corrections, assignment.parent
            earlier = served.adapter_in(self._workspace.registry.folder(parent.ref)) if parent else None
            corrected = amended.used if amended else ()
            lessons = lessons_for(
                assignment.dataset,
                served,
                served.expert_template,
                served.context_max,
                assignment.options,
                corrected,
            )
            recipe = recipe_for(lessons, assignment.options, earlier)
            served.require_served(recipe)
            self._pupils[assignment.name] = _Pupil(assignment, lessons, recipe, run, held.pop_all())
        return course_of(assignment, served, lessons, recipe, run, earlier)

    def _finish(self, name: str, outcome: FitResult | TrainingError) -> Iterator[Taught]:
        pupil = self._pupils.pop(name)
        with pupil.held:
            last = self._last(pupil, outcome) if isinstance(outcome, FitResult) else outcome
            yield Taught(pupil.assignment, last)
            if isinstance(last, Expert):
                (pupil.run / CHECKPOINT_FILE).unlink(missing_ok=True)

    def _last(self, pupil: _Pupil, result: FitResult) -> Expert | ChiliadError:
        """Write, evaluate and gate."""
        assignment = pupil.assignment
        try:
            expert = self._written(pupil, result)
            if assignment.options.baselines:
                prove_and_keep(
                    expert,
                    assignment.dataset,
                    self._workspace.embedder,
                    self._reporter,
                    learned_before=learned_before(self._workspace, expert.version),
                    options=assignment.options.evaluation,
                )
            return gated(self._workspace, expert, self._reporter)
        except (StoreError, BaseModelError):
            raise
        except ChiliadError as error:
            return error

    def _written(self, pupil: _Pupil, result: FitResult) -> Expert:
        """A new version, or the one that this very run wrote before it was stopped in its evaluation."""
        name, served = pupil.assignment.name, self._served
        unfinished = self._written_by(pupil.assignment, result.identity) if result.resumed else None
        if unfinished is not None:
            return self._workspace.expert(unfinished.ref)
        price = MachinePrice.of(self._workspace.settings.prices)
        facts = facts_of(pupil.assignment, served, pupil.lessons, pupil.recipe, result, price)
        with self._workspace.registry.write_version(name, facts) as draft:
            write_files(draft.folder, served, served.expert_template, pupil.recipe, result, self._precision)
        return self._workspace.expert(draft.ref)

    def _written_by(self, assignment: Assignment, identity: str) -> ExpertVersion | None:
        """The newest version that a run of this assignment with this identity wrote."""
        try:
            versions = self._workspace.registry.versions(assignment.name)
        except ExpertNotFound:
            return None
        wanted = (identity, assignment.fine_tuned_model)
        return next(
            (v for v in reversed(versions) if (v.training.get("run"), v.training.get(RECORDED_AS)) == wanted), None
        )

    def _refusals(self) -> Iterator[Taught]:
        while self._refused:
            yield self._refused.pop(0)
