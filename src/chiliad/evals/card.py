"""A card: what an expert is worth, as data, in a file, and as text and page for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from pydantic import TypeAdapter, ValidationError

from chiliad.data import Dataset, TaskKind
from chiliad.errors import UnreadableFile
from chiliad.evals.baselines.frequent import MAJORITY
from chiliad.evals.card_html import to_html
from chiliad.evals.card_markdown import to_markdown
from chiliad.evals.mistakes import (
    ConfusedPair,
    Confusion,
    Mistake,
    confused_pairs,
    confusion,
    worst_mistakes,
)
from chiliad.evals.runner import Comparison, Result
from chiliad.evals.verdict import Verdict, judge, percent
from chiliad.evals.wording import AGREED, preference_sentence
from chiliad.metrics import PairedTest

_SMALL_TEST_ROWS = 100


@dataclass(frozen=True)
class Subject:
    """The expert that a card is about, as whoever made it knows it."""

    name: str
    version: int
    base_id: str
    base_fingerprint: str
    adapter_bytes: int
    created: str
    """date and time, ISO 8601"""
    machine: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    """Facts in the order to show them (`epochs`, `rank`, `tokens`, `seconds` …). `loss` and `dev_loss`, lists of
    (step, loss), become the curve."""


@dataclass(frozen=True)
class ScoreRow:
    name: str
    title: str
    score: float
    low: float
    high: float
    rows: int
    dev_score: float | None
    seconds: float


@dataclass(frozen=True)
class Provenance:
    source: str
    dataset_hash: str
    train_rows: int
    dev_rows: int
    test_rows: int
    instruction: str | None


@dataclass(frozen=True)
class Leaks:
    """How many test inputs are copies of training inputs, and the score on the others."""

    exact: int
    near: int
    rows: int
    score_without: float | None


@dataclass(frozen=True)
class Cost:
    """In seconds of the machine that the evaluation ran on, answers asked in batches."""

    train_seconds: float | None
    seconds_per_answer: float
    seconds_per_correct: float | None
    """None if nothing is correct"""
    tokens_per_answer: float


@dataclass(frozen=True)
class Card:
    subject: Subject
    verdict: Verdict
    kind: TaskKind
    metric: str
    expert: ScoreRow
    baselines: tuple[ScoreRow, ...]
    best: str
    """name of the baseline that is best on development rows"""
    test: PairedTest
    other_scores: dict[str, float]
    constrained: bool
    provenance: Provenance
    leaks: Leaks
    cost: Cost
    notes: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    confused: tuple[ConfusedPair, ...]
    confusion: Confusion | None
    test_scores: tuple[float, ...]
    """score of each test row in order, for comparing versions on the same rows"""
    format: str = "chiliad-card-1"

    @property
    def best_row(self) -> ScoreRow:
        return next(row for row in self.baselines if row.name == self.best)

    @property
    def warning(self) -> str | None:
        """What the score may be worth less for, if anything."""
        return " ".join(filter(None, (self._no_better, self._of_copies))) or None

    @property
    def _no_better(self) -> str | None:
        """Than always giving the commonest answer, unless the interval of its score lies above."""
        commonest = next((row for row in self.baselines if row.name == MAJORITY), None)
        if commonest is None or self.expert.low > commonest.score:
            return None
        return (
            f"Not shown to be better than always giving the commonest answer: {percent(self.expert.score)} "
            f"({percent(self.expert.low)} to {percent(self.expert.high)}) against {percent(commonest.score)}."
        )

    @property
    def _of_copies(self) -> str | None:
        """That the score is one of near copies: without them it lies below the interval, or there is none.

        They don't void it, as copies do: short inputs and those made from a template differ in the very word that decides.
        """
        without = self.leaks.score_without
        if not self.leaks.near or (without is not None and without >= self.expert.low):
            return None
        others = "no others are there" if without is None else f"on the others the score is {percent(without)}"
        return (
            f"{self.leaks.near:,} of the {self.leaks.rows:,} test inputs are near copies of training inputs: {others}."
        )

    def to_json(self) -> str:
        return _CARD.dump_json(self).decode() + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Card:
        """Raises UnreadableFile if the text is not a card."""
        try:
            return _CARD.validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise UnreadableFile(
                f"The card cannot be read: {where}: {first['msg']}.", fix="Run `chiliad eval` to write it anew."
            ) from error

    def to_markdown(self) -> str:
        return to_markdown(self)

    def to_html(self) -> str:
        return to_html(self)

    def _repr_markdown_(self) -> str:
        """How a notebook shows it."""
        return self.to_markdown()


_CARD = TypeAdapter(Card)


def make_card(comparison: Comparison, dataset: Dataset, subject: Subject) -> Card:
    """Put down what an evaluation of `dataset` found about `subject`."""
    expert, best = comparison.expert, comparison.best
    labels = dataset.kind is TaskKind.LABELS
    leaks = _leaks(comparison)
    ours = fmean(expert.scores.per_example[row] for row in best.rows)
    return Card(
        subject=subject,
        verdict=judge(ours, best.scores.value, best.title, comparison.test, leaks.exact / leaks.rows),
        kind=dataset.kind,
        metric=expert.scores.name,
        expert=_score_row(expert),
        baselines=tuple(_score_row(result) for result in comparison.baselines),
        best=best.name,
        test=comparison.test,
        other_scores={scores.name: scores.value for scores in comparison.other_scores},
        constrained=comparison.constrained,
        provenance=_provenance(dataset),
        leaks=leaks,
        cost=_cost(expert, subject),
        notes=tuple(_notes(comparison, dataset, subject)),
        mistakes=worst_mistakes(dataset.test, expert.answers, expert.scores.per_example),
        confused=confused_pairs(dataset.test, expert.answers) if labels else (),
        confusion=confusion(dataset.test, expert.answers) if labels else None,
        test_scores=expert.scores.per_example,
    )


def _score_row(result: Result) -> ScoreRow:
    return ScoreRow(
        name=result.name,
        title=result.title,
        score=result.scores.value,
        low=result.interval.low,
        high=result.interval.high,
        rows=len(result.rows),
        dev_score=result.dev_score,
        seconds=result.seconds,
    )


def _provenance(dataset: Dataset) -> Provenance:
    return Provenance(
        source=dataset.source,
        dataset_hash=dataset.hash,
        train_rows=len(dataset.train),
        dev_rows=len(dataset.dev),
        test_rows=len(dataset.test),
        instruction=dataset.instruction,
    )


def _leaks(comparison: Comparison) -> Leaks:
    leaked = {*comparison.leakage.exact, *comparison.leakage.near}
    scores = comparison.expert.scores.per_example
    clean = [score for row, score in enumerate(scores) if row not in leaked]
    without = fmean(clean) if leaked and clean else None
    return Leaks(len(comparison.leakage.exact), len(comparison.leakage.near), len(scores), without)


def _cost(expert: Result, subject: Subject) -> Cost:
    answers = len(expert.rows)
    correct = sum(expert.scores.per_example)
    seconds = subject.training.get("seconds")
    return Cost(
        train_seconds=None if seconds is None else float(seconds),
        seconds_per_answer=expert.seconds / answers,
        seconds_per_correct=expert.seconds / correct if correct else None,
        tokens_per_answer=(expert.answer_tokens or 0) / answers,
    )


def _notes(comparison: Comparison, dataset: Dataset, subject: Subject) -> list[str]:
    """What a reader must know to judge the numbers."""
    expert, best = comparison.expert, comparison.best
    notes = [preference_sentence(subject.training)] if AGREED in subject.training else []
    above = [b for b in comparison.baselines if b is not best and b.scores.value > expert.scores.value]
    if above:
        listed = ", ".join(f"{b.title} {percent(b.scores.value)}" for b in above)
        notes.append(f"Also above this expert on the test rows, though not the best on development rows: {listed}.")
    capped = [b for b in comparison.baselines if len(b.rows) < len(expert.rows)]
    if capped:
        titles = ", ".join(b.title for b in capped)
        notes.append(f"{titles}: asked {len(capped[0].rows):,} of the {len(expert.rows):,} test rows, to save time.")
    if len(expert.rows) < _SMALL_TEST_ROWS:
        notes.append(
            f"Only {len(expert.rows)} test rows: the intervals are wide, and small differences cannot be seen."
        )
    unknown = sum(example.answer not in dataset.labels for example in dataset.test) if dataset.labels else 0
    if unknown:
        notes.append(f"{unknown} test rows have a label that training never showed; no answer to them can be right.")
    if not any(b.name == "nearest" for b in comparison.baselines):
        notes.append("Nearest neighbour and other baselines on embeddings are missing: there was no embedder.")
    if best.dev_score is None:
        notes.append("No development rows: the best baseline was chosen on the test rows, which favours the baseline.")
    return notes
