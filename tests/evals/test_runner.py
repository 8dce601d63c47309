"""A whole evaluation of each kind of task, with experts whose worth is known."""

import subprocess
import sys
from dataclasses import replace

import pytest

from chiliad.errors import ConfigError, UnusableData
from chiliad.evals import Answer, EvalOptions, Outcome, Result, Subject, evaluate, make_card, run_expert
from chiliad.evals.runner import answer_tokens_max, choose_best, choose_rows, make_judge
from chiliad.metrics import CustomScore, Interval, Scores
from tests.evals.conftest import count_tokens, first_choice

SUBJECT = Subject("desk", 1, "tiny", "f" * 64, 1000, "2026-11-23T00:00:00Z")


def run(dataset, expert, embed, **changes):
    return evaluate(dataset, expert, first_choice, embed=embed, count_tokens=count_tokens, **changes)


def outcome(comparison, dataset):
    return make_card(comparison, dataset, SUBJECT).verdict.outcome


def test_labels_get_all_six_baselines(labels_dataset, embed, knows):
    comparison = run(labels_dataset, knows(labels_dataset.test), embed)
    names = [result.name for result in comparison.baselines]
    assert names == ["majority", "zero_shot", "few_shot", "nearest", "tfidf_linear", "embedder_linear"]
    assert comparison.expert.scores.value == 1
    assert comparison.constrained
    assert [scores.name for scores in comparison.other_scores] == ["macro_f1"]
    assert comparison.test.n == len(labels_dataset.test)
    for result in comparison.baselines:
        assert result.interval.low <= result.scores.value <= result.interval.high
        assert result.dev_score is not None


def test_json_and_text_get_the_four_that_fit(json_dataset, text_dataset, embed, knows):
    for dataset, metric in ((json_dataset, "json_field_f1"), (text_dataset, "rouge_l")):
        comparison = run(dataset, knows(dataset.test), embed)
        assert [result.name for result in comparison.baselines] == ["majority", "zero_shot", "few_shot", "nearest"]
        assert comparison.expert.scores.name == metric
        assert not comparison.constrained
        assert outcome(comparison, dataset) is Outcome.EXPERT_WINS


def test_a_good_baseline_beats_a_bad_expert_and_the_card_says_so(labels_dataset, embed, knows):
    comparison = run(labels_dataset, knows(labels_dataset.test, wrong_every=2), embed)
    assert comparison.best.name in {"nearest", "tfidf_linear", "embedder_linear"}
    assert comparison.test.delta < -0.3
    assert outcome(comparison, labels_dataset) is Outcome.BASELINE_WINS


def test_equal_answers_are_a_tie_and_not_a_win(labels_dataset, embed):
    nearest = next(b for b in run(labels_dataset, first_choice, embed).baselines if b.name == "tfidf_linear")
    known = dict(zip([one.messages for one in labels_dataset.test], nearest.answers, strict=True))

    def copycat(prompts, choices, tokens_max):
        return [Answer(known[tuple(prompt)], 10, 1) for prompt in prompts]

    comparison = run(labels_dataset, copycat, embed)
    assert comparison.test.delta <= 0
    assert outcome(comparison, labels_dataset) in {Outcome.BASELINE_TIES, Outcome.BASELINE_WINS}


def test_same_input_same_comparison(labels_dataset, embed, knows):
    first, second = (run(labels_dataset, knows(labels_dataset.test, wrong_every=7), embed) for _ in range(2))
    assert first.test == second.test
    assert [b.scores for b in first.baselines] == [b.scores for b in second.baselines]
    assert [b.interval for b in first.baselines] == [b.interval for b in second.baselines]


def test_the_best_baseline_is_chosen_on_development_rows():
    def result(name, dev, test):
        return Result(name, name, (0,), ("x",), Scores("accuracy", (test,), test), Interval(0, 1), dev, 0.0)

    assert choose_best([result("a", 0.9, 0.2), result("b", 0.5, 0.8)]).name == "a"
    assert choose_best([result("a", 0.9, 0.2), result("b", 0.9, 0.8)]).name == "b"
    assert choose_best([result("a", None, 0.2), result("b", None, 0.8)]).name == "b"


def test_the_slow_base_model_is_asked_few_rows_and_compared_on_those(labels_dataset, embed, knows):
    asked = []

    def counting(prompts, choices, tokens_max):
        asked.append(len(prompts))
        return first_choice(prompts, choices, tokens_max)

    comparison = evaluate(
        labels_dataset,
        knows(labels_dataset.test),
        counting,
        embed=embed,
        count_tokens=count_tokens,
        options=EvalOptions(base_rows_max=5),
    )
    assert asked == [5, 5, 5, 5]
    few = next(b for b in comparison.baselines if b.name == "few_shot")
    assert len(few.rows) == len(few.answers) == len(few.scores.per_example) == 5
    assert few.scores.per_example == tuple(
        float(answer == labels_dataset.test[row].answer) for answer, row in zip(few.answers, few.rows, strict=True)
    )
    note = next(n for n in make_card(comparison, labels_dataset, SUBJECT).notes if "asked 5 of" in n)
    assert note.startswith("Base model, zero-shot, Base model, 5-shot")


def test_the_rows_asked_are_the_same_ones_in_any_order(labels_dataset):
    rows = choose_rows(labels_dataset.test, 7, seed=0)
    backwards = choose_rows(labels_dataset.test[::-1], 7, seed=0)
    assert rows == sorted(rows)
    assert {labels_dataset.test[row].id for row in rows} == {labels_dataset.test[::-1][row].id for row in backwards}
    assert choose_rows(labels_dataset.test, 7, seed=1) != rows
    assert choose_rows(labels_dataset.test, None, seed=0) == list(range(len(labels_dataset.test)))


def test_free_decoding_on_request(labels_dataset, embed):
    seen = set()

    def expert(prompts, choices, tokens_max):
        seen.add(choices)
        return first_choice(prompts, choices, tokens_max)

    comparison = run(labels_dataset, expert, embed, options=EvalOptions(constrain=False))
    assert seen == {None}
    assert not comparison.constrained


def test_a_users_scorer_judges_expert_and_baselines(text_dataset, embed, knows):
    polite = CustomScore(
        "polite", lambda prediction, reference, text: float("kind" in prediction or "late" not in text)
    )
    comparison = run(text_dataset, knows(text_dataset.test), embed, scorer=polite)
    assert comparison.expert.scores.name == "polite"
    assert comparison.expert.scores.value == 1
    assert {b.scores.name for b in comparison.baselines} == {"polite"}
    assert [scores.name for scores in comparison.other_scores] == ["rouge_l", "token_f1", "exact_match"]


def test_a_failing_scorer_ends_the_evaluation(text_dataset, embed, knows):
    broken = CustomScore("broken", lambda prediction, reference, text: 7.0)
    with pytest.raises(ConfigError, match="broken returned 7"):
        run(text_dataset, knows(text_dataset.test), embed, scorer=broken)


def test_progress_ends_at_its_total(labels_dataset, embed, knows):
    seen = []
    run(labels_dataset, knows(labels_dataset.test), embed, on_progress=lambda *step: seen.append(step))
    assert seen[0] == ("expert", 0, len(labels_dataset.test))
    assert ("expert", len(labels_dataset.test), len(labels_dataset.test)) in seen
    assert seen[-1] == ("baselines", 6, 6)


def test_no_test_rows_is_an_error(labels_dataset, embed):
    with pytest.raises(UnusableData, match="no test rows"):
        run(replace(labels_dataset, test=()), first_choice, embed)


def test_no_development_rows_is_said_on_the_card(labels_dataset, embed, knows):
    dataset = replace(labels_dataset, dev=())
    comparison = run(dataset, knows(dataset.test), embed)
    assert comparison.best.scores.value == max(b.scores.value for b in comparison.baselines)
    assert any("No development rows" in note for note in make_card(comparison, dataset, SUBJECT).notes)


def test_an_expert_alone_can_be_run_for_the_promotion_gate(labels_dataset, knows):
    judge = make_judge(labels_dataset.kind, None)
    steps = []
    result = run_expert(
        labels_dataset.test, knows(labels_dataset.test), judge, labels_dataset.labels, 8, lambda *s: steps.append(s)
    )
    assert result.scores.per_example == (1.0,) * len(labels_dataset.test)
    assert result.answer_tokens == 2 * len(labels_dataset.test)
    assert result.seconds > 0


def test_answers_have_room_for_the_longest_training_answer(text_dataset):
    longest = max(count_tokens(one.answer) for one in text_dataset.train)
    assert longest < answer_tokens_max(text_dataset.train, count_tokens) < 2 * longest + 9
    assert answer_tokens_max(text_dataset.train, lambda text: 10**6) == 512


def test_reading_a_card_imports_neither_torch_nor_sklearn():
    code = "import sys, chiliad.evals, chiliad.metrics; sys.exit(bool({'torch', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
