"""Known failures: the worst first, not twelve times the same one, cut to a readable length."""

from chiliad.evals.mistakes import OTHER, confused_pairs, confusion, worst_mistakes
from tests.evals.conftest import example


def test_the_lowest_scores_come_first_and_right_answers_not_at_all():
    rows = [example(f"question {i}", f"answer {i}") for i in range(4)]
    mistakes = worst_mistakes(rows, ["answer 0", "a", "b", "c"], [1.0, 0.5, 0.0, 0.9])
    assert [(m.input, m.expected, m.got, m.score) for m in mistakes] == [
        ("question 2", "answer 2", "b", 0.0),
        ("question 1", "answer 1", "a", 0.5),
        ("question 3", "answer 3", "c", 0.9),
    ]


def test_one_confusion_does_not_fill_the_list():
    rows = [example(f"question {i}", "yes") for i in range(30)] + [example("other", "no")]
    mistakes = worst_mistakes(rows, ["no"] * 30 + ["yes"], [0.0] * 31)
    assert [(m.expected, m.got) for m in mistakes] == [("yes", "no"), ("yes", "no"), ("no", "yes")]


def test_at_most_twelve_and_long_texts_are_cut():
    rows = [example("x" * 5000, f"answer {i}") for i in range(30)]
    mistakes = worst_mistakes(rows, ["?"] * 30, [0.0] * 30)
    assert len(mistakes) == 12
    assert len(mistakes[0].input) == 600
    assert mistakes[0].input.endswith("…")


def test_confused_pairs_are_counted_with_their_direction():
    rows = [example(str(i), label) for i, label in enumerate("aaabbc")]
    pairs = confused_pairs(rows, list("bbaabc"))
    assert [(p.expected, p.got, p.count) for p in pairs] == [("a", "b", 2), ("b", "a", 1)]


def test_a_small_confusion_matrix_is_whole():
    rows = [example(str(i), label) for i, label in enumerate("aaabbc")]
    matrix = confusion(rows, list("bbaabc"))
    assert matrix.labels == matrix.columns == ("a", "b", "c")
    assert matrix.counts == ((1, 2, 0), (1, 1, 0), (0, 0, 1))


def test_a_large_one_keeps_the_labels_confused_most_and_adds_up():
    labels = [f"label{i:02}" for i in range(40)]
    rows = [example(f"{label} {i}", label) for label in labels for i in range(3)]
    answers = [row.answer for row in rows]
    answers[60:63] = ["label33"] * 3  # label20
    answers[0] = "no label at all"  # label00
    matrix = confusion(rows, answers)
    assert len(matrix.labels) == 12
    assert {"label00", "label20", "label33"} <= set(matrix.labels)
    assert matrix.columns == (*matrix.labels, OTHER)
    assert all(sum(counts) == 3 for counts in matrix.counts)
    assert matrix.counts[matrix.labels.index("label00")][-1] == 1
    assert matrix.counts[matrix.labels.index("label20")][matrix.labels.index("label33")] == 3
