"""A forecast: the score of an expert with twice, five and ten times its rows, and whether a prompt would do instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from chiliad.data import Dataset
from chiliad.evals import EvalOptions
from chiliad.evals.baselines.prompted import Prompter, few_shot, shots_text
from chiliad.evals.runner import answer_tokens_max, choose_rows, make_judge
from chiliad.evals.verdict import percent
from chiliad.metrics import Expected, LearningCurve, Measured, PairedTest, Scores, paired_test
from chiliad.training import choose_recipe
from chiliad.workspace.expert import Expert
from chiliad.workspace.forecast.page import to_html
from chiliad.workspace.forecast.small_runs import small_runs
from chiliad.workspace.progress import Reporter
from chiliad.workspace.proof import scores_on
from chiliad.workspace.served_base import ServedBase

if TYPE_CHECKING:
    from chiliad.workspace.workspace import Workspace

MULTIPLES = (2, 5, 10)
LEVEL = 0.8
WORTH = 0.01
"""of score: less is not worth anybody's labelling"""


@dataclass(frozen=True)
class Outlook:
    """What one training on so many rows would give. train_seconds: on this machine; None if the version does not tell."""

    expected: Expected
    train_seconds: float | None


@dataclass(frozen=True)
class Prompted:
    """The base model without training, shown a few examples, on the test rows that it was asked.

    shots_min, shots: how many examples fit beside the longest test row, and beside the shortest; test: the expert minus it,
    on those that it was asked.
    """

    shots_min: int
    shots: int
    score: float
    test: PairedTest

    @property
    def shown(self) -> str:
        return shots_text(self.shots_min, self.shots)

    @property
    def sentence(self) -> str:
        ours = percent(self.score + self.test.delta)
        theirs = f"{percent(self.score)} on {self.test.n} test rows"
        asked = f"{self.shown} examples in the prompt of the base model score {theirs}"
        if not self.test.significant:
            return f"{asked} and the expert {ours}: no proof that training is needed."
        if self.test.delta > 0:
            return f"{asked} and the expert {ours}: examples in the prompt do not do."
        return f"{asked} and the expert only {ours}: examples in the prompt do."


@dataclass(frozen=True)
class Forecast:
    """measured: the trainings that it rests on, the expert itself last. All scores are on the expert's frozen test rows.

    outlooks: of more rows, in ascending order; asked_rows: which of them the question was about. The intervals, of LEVEL,
    are of one training's score on these very test rows; on other rows of the same kind it can be further off.
    """

    expert: str
    metric: str
    test_rows: int
    measured: tuple[Measured, ...]
    outlooks: tuple[Outlook, ...]
    asked_rows: int
    prompted: Prompted

    @property
    def now(self) -> Measured:
        return self.measured[-1]

    @property
    def sentence(self) -> str:
        """Is it worth labelling more?"""
        asked = next(one.expected for one in self.outlooks if one.expected.rows == self.asked_rows)
        low, high = asked.interval.low, asked.interval.high
        gain = asked.middle - self.now.score
        numbers = (
            f"{asked.rows:,} training rows instead of {self.now.rows:,} are expected to give {percent(asked.middle)} "
            f"instead of {percent(self.now.score)} ({100 * LEVEL:.0f} % interval {percent(low)} to {percent(high)})"
        )
        if low > self.now.score + WORTH:
            return f"More rows are worth it: {numbers}."
        if gain > WORTH:
            return f"More rows will probably help: {numbers}."
        return f"More rows of the same kind will hardly help: {numbers}."

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "level": LEVEL, "sentence": self.sentence, "prompt_sentence": self.prompted.sentence}

    def to_html(self) -> str:
        return to_html(self)


def forecast(workspace: Workspace, expert: Expert, reporter: Reporter, *, more: int | None) -> Forecast:
    """See `Workspace.forecast`. The test rows are only looked at: nothing is chosen by them."""
    dataset = workspace.own_dataset(expert)
    with small_runs(workspace, expert, reporter) as (scratch, runs):
        served = scratch.served(expert.version.base_id)
        measured = [
            Measured.of(run.rows, scores_on(run.expert, dataset.test, dataset, reporter).per_example) for run in runs
        ]
        full = scores_on(replace(expert, served=served), dataset.test, dataset, reporter)
        prompted = _prompted(served, dataset, full)
    rows = len(dataset.train)
    measured.append(Measured.of(rows, full.per_example))
    curve = LearningCurve(measured)
    asked_rows = rows + more if more else MULTIPLES[0] * rows
    wanted = sorted({rows * multiple for multiple in MULTIPLES} | {asked_rows})
    return Forecast(
        expert=str(expert.ref),
        metric=full.name,
        test_rows=len(dataset.test),
        measured=tuple(measured),
        outlooks=tuple(
            Outlook(curve.expected(n, level=LEVEL), _train_seconds(expert.version.training, n)) for n in wanted
        ),
        asked_rows=asked_rows,
        prompted=prompted,
    )


def _prompted(served: ServedBase, dataset: Dataset, full: Scores) -> Prompted:
    options = EvalOptions()

    def count_tokens(text: str) -> int:
        return len(served.tokenizer.encode(text))

    room = answer_tokens_max(dataset.train, count_tokens)
    prompter = Prompter(served.answerer(None, served.chat_template), count_tokens, room, options)
    baseline = few_shot(dataset, prompter)
    places = choose_rows(dataset.test, baseline.rows_max, options.seed)
    asked = [dataset.test[place] for place in places]
    scores = make_judge(dataset.kind, None)(baseline.predict(asked), asked)
    test = paired_test(_picked(full.per_example, places), scores.per_example)
    return Prompted(*prompter.shots_shown(dataset), scores.value, test)


def _picked(scores: Sequence[float], places: Sequence[int]) -> list[float]:
    return [scores[place] for place in places]


def _train_seconds(told: Mapping[str, Any], rows: int) -> float | None:
    """At the speed and the length of rows of the training that made the version, with the epochs that so many rows get."""
    if told.get("seconds") is None or not (told.get("rows") and told.get("epochs")):
        return None
    per_row: float = told["seconds"] / (told["rows"] * told["epochs"])
    return per_row * rows * choose_recipe(rows).epochs
