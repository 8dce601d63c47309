"""`ws.feedback`: from an answer that was wrong to a version that has learned it, or to an expert that is missing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from chiliad.data import Amended
from chiliad.errors import ChiliadError, FeedbackError, UnusableData
from chiliad.feedback import example_of, preference_of
from chiliad.store import (
    Corrections,
    Decision,
    Document,
    Feedback,
    FeedbackLog,
    Gathered,
    Job,
    KeptAnswer,
    KeptAnswers,
    ReviewOrder,
    Said,
    scope_of,
)
from chiliad.store.jobs import OPEN
from chiliad.training import Method
from chiliad.workspace.assignment import Assignment
from chiliad.workspace.jobs import CORRECT, TRAIN, to_document
from chiliad.workspace.options import TrainOptions
from chiliad.workspace.preferring import assign_preferences
from chiliad.workspace.suggestions import Suggestion, latest, submit

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace

REVIEW_MAX = 100
"""answers that are shown at once"""

log = logging.getLogger("chiliad.feedback")


@dataclass(frozen=True)
class ReviewItem:
    """An answer with all that was said about it; choices: the closed answers of its expert, if it has such"""

    answer: KeptAnswer
    feedback: tuple[Feedback, ...]
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Decided:
    """retraining: the job that this decision has begun, by rule"""

    answer: KeptAnswer
    retraining: Job | None


@dataclass(frozen=True)
class Given:
    feedback: Feedback
    decided: Decided | None
    """what the feedback decided by itself, being a trusted person's correction"""


@dataclass(frozen=True)
class Standing:
    """What is gathered for an expert; after: the number of corrections at which it is retrained by itself; retraining:
    the newest one"""

    gathered: Gathered
    after: int | None
    retraining: Job | None


class WorkspaceFeedback:
    """Safe to share between threads. A `project` sees its own answers; None sees those of all."""

    def __init__(self, workspace: Workspace) -> None:
        database = workspace.store.database
        self._workspace = workspace
        self.answers = KeptAnswers(database, workspace.settings.answers.retention_days)
        self._log = FeedbackLog(database, self.answers)
        self._corrections = Corrections(database, self.answers)

    def give(self, answer_id: str, said: Said, *, by: str, project: str | None, trusted: bool) -> Given:
        """Record feedback. A demonstration by somebody `trusted` decides about the answer, too.

        Raises AnswerNotFound, and FeedbackError if nothing is said, or a demonstration is blank.
        """
        if said.is_empty or (said.demonstration is not None and not said.demonstration.strip()):
            raise FeedbackError(
                "The feedback says nothing.", fix="Give boolean, score, comment, demonstration or outcome."
            )
        given = self._log.give(answer_id, said, by=by, project=project)
        if said.demonstration is None or not trusted:
            return Given(given, None)
        return Given(given, self.decide(answer_id, Decision.CORRECT, said.demonstration, by=by, project=project))

    def queue(
        self,
        *,
        project: str | None,
        order: ReviewOrder = ReviewOrder.USEFULNESS,
        expert: str | None = None,
        limit: int = REVIEW_MAX,
    ) -> list[ReviewItem]:
        """Answers to decide about."""
        found = self.answers.to_review(order, project=project, expert=expert, limit=limit)
        said = self._log.about([answer.id for answer in found])
        choices = {answer.model: self._choices(answer) for answer in {one.model: one for one in found}.values()}
        return [ReviewItem(one, tuple(said.get(one.id, ())), choices[one.model]) for one in found]

    def item(self, answer_id: str, *, project: str | None) -> ReviewItem:
        """Raises AnswerNotFound."""
        answer = self.answers.get(answer_id, project=project)
        return ReviewItem(answer, tuple(self._log.about([answer_id]).get(answer_id, ())), self._choices(answer))

    def decide(
        self, answer_id: str, decision: Decision, wanted: str | None = None, *, by: str, project: str | None
    ) -> Decided:
        """Accept an answer, correct it with the answer that is `wanted`, or dismiss it; the last word counts.

        A correction that changes nothing accepts. What completes a rule's number begins a retraining. Raises
        AnswerNotFound, and FeedbackError for a correction without an answer.
        """
        answer = self.answers.get(answer_id, project=project)
        decision, wanted = _settled(answer, decision, wanted)
        decided = self._corrections.decide(answer_id, decision, wanted, by=by, project=project)
        return Decided(decided, self._retrained_by_rule(decided) if decision is Decision.CORRECT else None)

    def standings(self, *, project: str | None, own_project: str) -> list[Standing]:
        """Of every expert with a decision or a rule, by name; rules are those of `own_project`."""
        gathered = {one.expert: one for one in self._corrections.gathered(project=project)}
        rules = self._corrections.rules(own_project)
        return [
            Standing(gathered.get(name, Gathered(name, 0, 0, 0)), rules.get(name), self._latest(name, project))
            for name in sorted({*gathered, *rules})
        ]

    def standing(self, name: str, *, project: str | None, own_project: str) -> Standing:
        """All of it nothing where nothing was decided, whether or not there is such an expert."""
        found = {one.gathered.expert: one for one in self.standings(project=project, own_project=own_project)}
        return found.get(name) or Standing(Gathered(name, 0, 0, 0), None, self._latest(name, project))

    def freeze(self, name: str, *, project: str | None) -> Amended:
        """The dataset of an expert's next version: that of the live one, with all that was decided since.

        Test rows stay what they are. The same decisions give the same dataset. Raises ExpertNotFound, and UnusableData
        if there is nothing to learn.
        """
        assigned = self._assignment(name, self._corrections.learned(name, project=project)).corrections
        assert assigned is not None
        return assigned

    def retrain(self, name: str, *, project: str | None) -> Job:
        """Freeze that dataset and queue the training that continues from the live version; the gate judges what comes out.

        A second time without a decision in between it is the same job, until that has ended. Raises ExpertNotFound,
        UnusableData.
        """
        decided = self._corrections.learned(name, project=project)
        document = to_document(self._assignment(name, decided))
        queued = self._waiting(name, project, CORRECT, document) or self._queue(
            name, decided, document, project=project
        )
        assert queued is not None, "no number of corrections was asked for"
        return queued

    def prefer(self, name: str, *, project: str | None) -> Job:
        """Queue a training that continues from the live version, towards answers that people called good and away from
        those that they called bad.

        A second time without a word in between it is the same job, until that has ended. Raises ExpertNotFound,
        UnusableData.
        """
        live, rated = self._workspace.expert(name).version, self._log.rated(name, project=project)
        stated = [preference_of(one.answer, good=one.good) for one in rated if one.answer.text.strip()]
        assigned = assign_preferences(
            self._workspace,
            live.name,
            stated,
            source=f"{len(stated)} rated answers",
            base=live.base_id,
            options=TrainOptions(method=Method.KTO),
            start=live,
        )
        document = to_document(assigned)
        jobs = self._workspace.jobs.of(scope_of(project))
        return self._waiting(name, project, TRAIN, document) or jobs.submit(TRAIN, document)

    def set_rule(self, name: str, *, project: str, after: int | None) -> None:
        """Retrain an expert by itself after so many corrections of a project. Raises ExpertNotFound.

        None ends that, also for an expert that has no live version (any more).
        """
        if after is not None:
            self._workspace.registry.get(name)
        self._corrections.set_rule(name, project, after)

    def suggest(self, *, project: str | None) -> Job:
        """Queue the search for kinds of requests that nothing serves well."""
        return submit(self._workspace, project)

    def suggestions(self, *, project: str | None) -> list[Suggestion] | None:
        """What the newest such search found, as far as it is still kept; None before the first."""
        return latest(self._workspace, project)

    def _assignment(self, name: str, decided: Sequence[KeptAnswer]) -> Assignment:
        live = self._workspace.expert(name)
        if not decided:
            raise UnusableData(
                f"Nobody has corrected or accepted an answer of {name} yet.", fix="Review some of its answers first."
            )
        examples = [example_of(answer) for answer in decided]
        assigned = self._workspace.amend_with(live.version.name, examples, source=f"{len(examples)} reviewed answers")
        assert assigned.corrections is not None
        corrected = {example_of(answer).id for answer in decided if answer.decision is Decision.CORRECT}
        used = tuple(example for example in assigned.corrections.used if example.id in corrected)
        return replace(assigned, corrections=replace(assigned.corrections, used=used))

    def _retrained_by_rule(self, answer: KeptAnswer) -> Job | None:
        """What is wrong with a retraining by rule is logged, and told to whoever asks for one."""
        name, project = answer.expert, answer.project
        after = self._corrections.rules(project).get(name) if name else None
        if name is None or after is None or self._corrections.waiting(name, project=project) < after:
            return None
        try:
            decided = self._corrections.learned(name, project=project)
            document = to_document(self._assignment(name, decided))
            return self._queue(name, decided, document, project=project, at_least=after)
        except ChiliadError as error:
            log.warning("%s is not retrained by its rule: %s", name, error)
            return None

    def _queue(
        self, name: str, decided: Sequence[KeptAnswer], document: Document, *, project: str | None, at_least: int = 0
    ) -> Job | None:
        jobs = self._workspace.jobs.of(scope_of(project))
        submit = partial(jobs.submit_with, kind=CORRECT, document=document)
        return self._corrections.learn(name, decided, submit, project=project, at_least=at_least)

    def _latest(self, name: str, project: str | None, kind: str = CORRECT) -> Job | None:
        jobs = self._workspace.jobs.of(scope_of(project))
        return next(iter(jobs.page(kind=kind, holding={("name",): name}, limit=1)), None)

    def _waiting(self, name: str, project: str | None, kind: str, document: Document) -> Job | None:
        """The project's newest job of that kind, if it is not over and learns from the same dataset."""
        queued = self._latest(name, project, kind)
        if queued is None or queued.state not in OPEN or queued.document["dataset"] != document["dataset"]:
            return None
        return queued

    def _choices(self, answer: KeptAnswer) -> tuple[str, ...]:
        try:
            return self._workspace.registry.get(answer.model).choices if answer.expert else ()
        except ChiliadError:  # deleted since
            return ()


def _settled(answer: KeptAnswer, decision: Decision, wanted: str | None) -> tuple[Decision, str | None]:
    """The decision, and what is to be learned by it."""
    if decision is Decision.DISMISS:
        return decision, None
    if decision is Decision.ACCEPT:
        return decision, answer.text
    if wanted is None or not wanted.strip():
        raise FeedbackError("A correction has no answer.", fix="Give the answer that would have been right.")
    return (Decision.ACCEPT, answer.text) if wanted.strip() == answer.text.strip() else (decision, wanted)
