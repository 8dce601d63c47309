"""One evaluation: the expert and its baselines on the same test rows, and a paired test against the best baseline."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chiliad.data import Dataset, Example, TaskKind
from chiliad.errors import UnusableData
from chiliad.evals.answering import Answer, Answerer, Embed, OnProgress, remembering
from chiliad.evals.baselines import Baseline, Prompter, baseline_makers
from chiliad.evals.leakage import Leakage, find_leakage
from chiliad.evals.options import EvalOptions
from chiliad.metrics import (
    CustomScore,
    Interval,
    PairedTest,
    Scores,
    bootstrap_interval,
    main_metric,
    metrics_for,
    paired_test,
)

Judge = Callable[[Sequence[str], Sequence[Example]], Scores]
"""Scores answers to examples."""

_CHUNK = 256
_ANSWER_TOKENS_MAX = 512


@dataclass(frozen=True)
class Result:
    """What one contender answered. `rows` are positions of test rows; `answers` and the scores are in their order."""

    name: str
    title: str
    rows: tuple[int, ...]
    answers: tuple[str, ...]
    scores: Scores
    interval: Interval
    dev_score: float | None
    seconds: float
    answer_tokens: int | None = None
    """known only for the expert"""


@dataclass(frozen=True)
class Comparison:
    """An expert beside its baselines. `best` is the baseline with the best score on development rows; `test` is the
    expert minus that baseline, on the test rows that both answered."""

    expert: Result
    baselines: tuple[Result, ...]
    best: Result
    test: PairedTest
    other_scores: tuple[Scores, ...]
    constrained: bool
    leakage: Leakage


def evaluate(
    dataset: Dataset,
    expert_answer: Answerer,
    base_answer: Answerer,
    *,
    embed: Embed | None,
    count_tokens: Callable[[str], int],
    on_progress: OnProgress = lambda doing, done, total: None,
    scorer: CustomScore | None = None,
    options: EvalOptions | None = None,
    learned_before: Sequence[Example] = (),
) -> Comparison:
    """Answer the test rows with the expert and every baseline that fits, and compare.

    Without `embed` the two baselines that need it are left out. learned_before: by the expert, before the dataset; test rows
    may have leaked from there too. Raises UnusableData if there are no test rows, and whatever the answerers and the scorer
    raise.
    """
    if not dataset.test:
        raise UnusableData("The dataset has no test rows.", fix="Give test rows, or more rows to take them from.")
    options = options or EvalOptions()
    judge = make_judge(dataset.kind, scorer)
    tokens_max = options.answer_tokens_max or answer_tokens_max(dataset.train, count_tokens)
    choices = dataset.labels if options.constrain and dataset.labels else None

    expert = run_expert(dataset.test, expert_answer, judge, choices, tokens_max, on_progress, options.seed)
    prompter = Prompter(base_answer, count_tokens, tokens_max, options)
    makers = baseline_makers(dataset, prompter, embed and remembering(embed))
    results = []
    for done, make in enumerate(makers):
        on_progress("baselines", done, len(makers))
        results.append(run_baseline(make, dataset, judge, options))
    on_progress("baselines", len(makers), len(makers))
    best = choose_best(results)
    return Comparison(
        expert=expert,
        baselines=tuple(results),
        best=best,
        test=compare(expert, best, options.seed),
        other_scores=_other_scores(dataset, expert, scorer),
        constrained=choices is not None,
        leakage=find_leakage(
            list({example.dialogue: None for example in (*dataset.learned, *learned_before)}),
            [example.dialogue for example in dataset.test],
        ),
    )


def run_expert(
    examples: Sequence[Example],
    answer: Answerer,
    judge: Judge,
    choices: tuple[str, ...] | None,
    tokens_max: int,
    on_progress: OnProgress,
    seed: int = 0,
) -> Result:
    """Let an expert answer every example; also how versions are compared before one is promoted."""
    started = time.perf_counter()
    answers: list[Answer] = []
    for start in range(0, len(examples), _CHUNK):
        on_progress("expert", start, len(examples))
        chunk = examples[start : start + _CHUNK]
        answers += answer([example.messages for example in chunk], choices, tokens_max)
    on_progress("expert", len(examples), len(examples))
    seconds = time.perf_counter() - started
    texts = tuple(answer.text for answer in answers)
    scores = judge(texts, examples)
    return Result(
        name="expert",
        title="This expert",
        rows=tuple(range(len(examples))),
        answers=texts,
        scores=scores,
        interval=bootstrap_interval(scores.per_example, seed=seed),
        dev_score=None,
        seconds=seconds,
        answer_tokens=sum(answer.answer_tokens for answer in answers),
    )


def run_baseline(make: Callable[[], Baseline], dataset: Dataset, judge: Judge, options: EvalOptions) -> Result:
    """Train a baseline, score it on development rows, then on test rows. `seconds` covers all three.

    All baselines are scored on the same development rows, however many test rows each is asked.
    """
    started = time.perf_counter()
    baseline = make()
    dev = [dataset.dev[row] for row in choose_rows(dataset.dev, options.base_rows_max, options.seed)]
    dev_score = judge(baseline.predict(dev), dev).value if dev else None
    rows = choose_rows(dataset.test, baseline.rows_max, options.seed)
    test = [dataset.test[row] for row in rows]
    answers = tuple(baseline.predict(test))
    seconds = time.perf_counter() - started
    scores = judge(answers, test)
    interval = bootstrap_interval(scores.per_example, seed=options.seed)
    return Result(baseline.name, baseline.title, tuple(rows), answers, scores, interval, dev_score, seconds)


def choose_rows(examples: Sequence[Example], rows_max: int | None, seed: int) -> list[int]:
    """Positions of at most `rows_max` examples, in order: the same ones for the same content and seed."""
    rows = range(len(examples))
    if rows_max is None or len(examples) <= rows_max:
        return list(rows)
    return sorted(
        sorted(rows, key=lambda row: hashlib.sha256(f"{seed} {examples[row].id}".encode()).digest())[:rows_max]
    )


def choose_best(results: Sequence[Result]) -> Result:
    """The best on development rows; among equals, or without such rows, the best on test rows: that favours baselines."""
    return max(results, key=lambda result: (result.dev_score or 0.0, result.scores.value))


def compare(expert: Result, baseline: Result, seed: int) -> PairedTest:
    """The expert minus the baseline, on the rows that the baseline answered. The expert answered all rows."""
    ours = [expert.scores.per_example[row] for row in baseline.rows]
    return paired_test(ours, baseline.scores.per_example, seed=seed)


def make_judge(kind: TaskKind, scorer: CustomScore | None) -> Judge:
    """The user's own scorer, or the main metric of the kind of task."""

    def judge(answers: Sequence[str], examples: Sequence[Example]) -> Scores:
        references = [example.answer for example in examples]
        if scorer is not None:
            return scorer.scores(answers, references, [example.input for example in examples])
        return main_metric(kind)(answers, references)

    return judge


def answer_tokens_max(train: Sequence[Example], count_tokens: Callable[[str], int]) -> int:
    """Room for an answer: half as many tokens again as the longest training answer, and its end."""
    longest = max((count_tokens(answer) for answer in {example.answer for example in train}), default=64)
    return min(_ANSWER_TOKENS_MAX, longest + longest // 2 + 8)


def _other_scores(dataset: Dataset, expert: Result, scorer: CustomScore | None) -> tuple[Scores, ...]:
    """The expert's scores by the other metrics that fit the task."""
    references = [example.answer for example in dataset.test]
    others = metrics_for(dataset.kind)[0 if scorer else 1 :]
    return tuple(score(expert.answers, references) for score in others)
