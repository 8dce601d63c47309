"""Planted errors and planted leaks are found, and rows that are right are left in peace."""

import random

import numpy as np
import pytest

from chiliad.data import Example, Message, TaskKind, table_from_rows
from chiliad.data.audit import Known, audit, time_split
from chiliad.data.near import NearTexts
from chiliad.errors import ColumnsNotFound, UnusableData

THINGS = (
    "parcel",
    "letter",
    "invoice",
    "card",
    "bicycle",
    "kettle",
    "sofa",
    "lamp",
    "phone",
    "jacket",
    "carpet",
    "tent",
)
ASKED = {
    "where": "where on the way is the {} that {} ordered",
    "refund": "please pay back the money for the {} of {}",
    "broken": "the {} of {} arrived in pieces and is useless",
}
PEOPLE = ("Ada", "Grace", "Emmy", "Sofia", "Maryam", "Lise", "Rosalind", "Hedy", "Dorothy", "Barbara")


def example(text, answer, group=None):
    return Example.of([Message("user", text)], answer, group)


def tickets():
    return [
        example(words.format(thing, person), label)
        for label, words in ASKED.items()
        for thing in THINGS
        for person in PEOPLE[: 5 if label == "where" else 3]
    ]


def numbered(examples):
    return dict(enumerate(examples, start=1))


def bag_of_words(texts):
    """An embedder that a reader can check: which words a text has, as a row of length 1."""
    words = sorted({word for text in ASKED.values() for word in text.split()} - {"{}"})
    table = np.array([[word in text.split() for word in words] for text in texts], dtype=np.float32)
    return table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1)


def no_embedder(texts):
    raise AssertionError("nothing is to be embedded")


def test_planted_wrong_labels_come_first_and_right_ones_are_left_in_peace():
    rows = tickets()
    planted = random.Random(0).sample(range(len(rows)), 6)
    for place in planted:
        wrong = "refund" if rows[place].answer != "refund" else "broken"
        rows[place] = example(rows[place].input, wrong)
    doubts = audit(numbered(rows), bag_of_words).doubts
    assert {one.row - 1 for one in doubts.found} == set(planted)
    assert all(rows[one.row - 1].answer == one.given != one.likely for one in doubts.found)
    assert sorted(doubts.margins, key=doubts.margins.get)[:6] == [one.row for one in doubts.found]
    assert doubts.agreement == pytest.approx(1 - 6 / len(rows))


@pytest.mark.parametrize("group", [None, "customer {}"])
def test_a_copy_does_not_vouch_for_a_wrong_label(group):
    rows = tickets()
    copies = [rows[0].input.upper() if n % 2 else rows[0].input for n in range(12)]
    wrong = [example(text, "broken", group and group.format(n)) for n, text in enumerate(copies)]
    doubts = audit(numbered([*rows[1:], *wrong]), lambda texts: bag_of_words([text.lower() for text in texts])).doubts
    assert [one.likely for one in doubts.found if one.given == "broken"] == ["where"] * 12


def test_rows_of_one_group_do_not_vouch_for_each_other():
    rows = [example(one.input, one.answer, f"customer {n}") for n, one in enumerate(tickets())]
    odd = [example(f"{one.input} {n}", "broken", "customer odd") for n, one in enumerate(rows[:15])]
    found = audit(numbered([*rows[15:], *odd]), bag_of_words).doubts.found
    assert sum(one.given == "broken" and one.likely == "where" for one in found) == 15


def test_the_minority_of_a_contradiction_is_named_and_stays():
    text = "tell me about the kettle"
    rows = [*tickets(), example(text, "where"), example(text, "where"), example(text.upper(), "refund")]
    even = [example("hello", "where"), example("hello", "refund")]
    found = audit(numbered([*rows, *even]), bag_of_words)
    one, tie = found.contradictions
    first = len(rows) - 2
    assert one.rows == (first, first + 1, first + 2)
    assert one.answers == {"where": 2, "refund": 1}
    assert one.minority == (first + 2,)
    assert tie.minority == tie.rows == (len(rows) + 1, len(rows) + 2)
    assert found.train_rows + found.dev_rows + found.test_rows == len({row.id for row in [*rows, *even]})


def test_nearly_the_same_input_with_another_label():
    rows = [*tickets(), example("the old clock in the hall does not strike the hour", "broken")]
    rows.append(example("the old clock in the hall does not strike an hour", "refund"))
    (found,) = audit(numbered(rows), bag_of_words).near_contradictions
    assert found.rows == (len(rows) - 1, len(rows))
    assert 0.9 <= found.share < 1


LINES = [
    "Could someone from accounting explain the second charge on my statement?",
    "We moved last month and the contract still shows our previous address.",
    "The technician came on Tuesday but nobody told him which floor to go to.",
    "Is it possible to combine two vouchers in a single order before Friday?",
]


def test_planted_leaks_are_found_and_nothing_else():
    test = [example(line, "refund") for line in LINES]
    leaked = [example(LINES[1].replace("previous", "former"), "where"), example(LINES[3].upper(), "where")]
    rows = [*tickets(), *leaked]
    found = audit(numbered(rows), bag_of_words, test=numbered(test))
    assert [(leak.held, leak.learned) for leak in found.test_leaks] == [(2, len(rows) - 1), (4, len(rows))]
    assert found.test_leaks[0].share < 1 == found.test_leaks[1].share
    assert found.separate
    assert found.test_rows == 4


def test_leaks_into_the_split_that_freezing_makes():
    marks = ("", "!", "?", "please", "thanks", "now")
    rows = [example(f"{text} {mark}".strip(), text[:4].strip()) for text in LINES for mark in marks]
    found = audit(numbered(rows), bag_of_words)
    assert {leak.held for leak in found.test_leaks}.isdisjoint(leak.learned for leak in found.test_leaks)
    assert len(found.test_leaks) == found.test_rows


def test_what_another_expert_learned_from():
    rows = [*tickets(), *(example(line, "where") for line in LINES)]
    test = numbered([example(line, "where") for line in LINES])
    others = [
        Known("innocent", [example(line[::-1], "x") for line in LINES]),
        Known("copied", [example(LINES[0], "x"), example(LINES[2].replace("came", "comes"), "x")]),
        Known("all", [example(line.lower(), "x") for line in LINES]),
    ]
    worst, second = audit(numbered(rows), bag_of_words, test=test, others=others).overlaps
    assert (worst.expert, worst.exact, worst.near) == ("all", (1, 2, 3, 4), ())
    assert (second.expert, second.exact, second.near) == ("copied", (1,), (3,))


def test_free_answers_are_compared_without_an_embedder():
    rows = [example(f"describe item number {n} of the long list", f"this is the answer number {n}") for n in range(40)]
    found = audit(numbered(rows), no_embedder)
    assert found.kind is TaskKind.TEXT
    assert (found.doubts, found.near_contradictions, found.drift) == (None, None, None)


def test_rows_that_cannot_be_used_keep_their_numbers():
    rows = [example("", "where"), *tickets(), example("pay back the money", "")]
    rows[5] = example(rows[5].input, "refund")
    assert audit(numbered(rows), bag_of_words).doubts.found[0].row == 6


def test_too_few_rows_are_refused():
    with pytest.raises(UnusableData, match="different rows"):
        audit(numbered(tickets()[:5]), bag_of_words)


def dated(days):
    return table_from_rows([{"input": f"row {day}", "output": "x", "day": day} for day in days])


def test_the_newest_rows_are_the_test_and_one_moment_stays_together():
    split = time_split(dated([f"2026-01-{1 + n % 28:02}" for n in range(112)]), "day")
    assert split.cut == "2026-01-21"
    assert len(split.newer) == 32
    assert sorted((*split.older, *split.newer)) == list(range(1, 113))
    assert 21 in split.newer
    assert 20 in split.older


def test_times_of_every_form_are_ordered():
    days = [*(f"{n}" for n in range(20)), "1970-01-02", "1970-01-01T12:00:00+00:00"]
    split = time_split(dated(days), "day")
    assert {21, 22} < set(split.newer)


@pytest.mark.parametrize(
    ("days", "column", "error"),
    [
        (["2026-01-01"] * 30, "day", UnusableData),
        (["yesterday"] * 30, "day", UnusableData),
        ([*("2026-01-01", "2026-01-02") * 15, "nan"], "day", UnusableData),
        ([*("2026-01-01", "2026-01-02") * 15, "Infinity"], "day", UnusableData),
        (["2026-01-01"] * 30, "when", ColumnsNotFound),
    ],
)
def test_times_that_divide_nothing(days, column, error):
    with pytest.raises(error):
        time_split(dated(days), column)


def test_what_changes_with_time_shows_as_a_drift():
    rows = numbered(tickets())
    turned = {"where": "refund", "refund": "broken", "broken": "where"}
    newer = {n: example(one.input, turned[one.answer]) for n, one in numbered(tickets()).items() if n % 5 == 0}
    older = {n: one for n, one in rows.items() if n % 5}
    drift = audit(older, bag_of_words, test=newer, by_time=True).drift
    assert drift.by_chance == 1
    assert drift.by_time == 0


def test_near_texts_give_the_same_as_comparing_all():
    random.seed(1)
    texts = [" ".join(random.choice(THINGS) for _ in range(12)) for _ in range(60)]
    texts += [text.replace("a", "e", 1) for text in texts[:20]] + texts[:5]
    from rapidfuzz import fuzz

    wanted = {(i, j) for i in range(len(texts)) for j in range(i) if fuzz.ratio(texts[i], texts[j]) >= 90}
    found = {(max(i, j), min(i, j)) for i, j, _ in NearTexts(texts).pairs()}
    assert found <= wanted
    assert len(found) >= 0.98 * len(wanted)
