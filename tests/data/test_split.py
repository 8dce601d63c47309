import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiliad.data import Example, Message
from chiliad.data.split import DEV_ROWS_MAX, TEST_ROWS_MAX, bundled, dev_rows, split, split_around, test_rows
from chiliad.errors import UnusableData

test_rows.__test__ = False  # a function of ours, not a test


def example(text, answer, group=None):
    return Example.of([Message("user", text)], answer, group)


# Few different texts, answers and groups, so that most of them meet each other. "A " and "a" are one input.
texts = st.sampled_from([f"{letter}{number}{end}" for letter in "aAb" for number in range(25) for end in ("", " ")])
answers = st.sampled_from(["yes", "no", "maybe"])
rows = st.builds(example, texts, answers, st.none() | st.sampled_from([f"group {number}" for number in range(40)]))
row_lists = st.lists(rows, min_size=3, max_size=120)


def parts_of(done):
    return [done.train, done.dev, done.test]


def try_split(examples, **how):
    try:
        return split(examples, **how)
    except UnusableData:
        assert len(bundled(examples)) < 3
        return None


@settings(deadline=None)
@given(examples=row_lists, by_answer=st.booleans())
def test_no_input_and_no_group_is_on_two_sides(examples, by_answer):
    if done := try_split(examples, by_answer=by_answer):
        group_of = {example.id: set() for example in examples}
        for one in examples:
            group_of[one.id].add(one.group)
        for what in (lambda one: {one.key}, lambda one: group_of[one.id] - {None}):
            sides = [set().union(*map(what, part)) for part in parts_of(done)]
            assert not sides[0] & sides[1]
            assert not sides[0] & sides[2]
            assert not sides[1] & sides[2]


@settings(deadline=None)
@given(examples=row_lists, by_answer=st.booleans())
def test_every_different_row_is_in_exactly_one_part_and_no_part_is_empty(examples, by_answer):
    if done := try_split(examples, by_answer=by_answer):
        assert sorted(one.id for part in parts_of(done) for one in part) == sorted({one.id for one in examples})
        assert all(parts_of(done))


@settings(deadline=None)
@given(examples=row_lists, by_answer=st.booleans(), seed=st.integers(0, 9))
def test_order_and_repetition_of_rows_change_nothing(examples, by_answer, seed):
    again = [*examples, *examples[: seed * 3]]
    random.Random(seed).shuffle(again)
    assert try_split(examples, by_answer=by_answer) == try_split(again, by_answer=by_answer)


@settings(deadline=None)
@given(examples=row_lists, test=st.lists(rows, min_size=1, max_size=30), by_answer=st.booleans())
def test_given_test_rows_stay_and_nothing_of_theirs_is_trained_on(examples, test, by_answer):
    try:
        done = split_around(examples, test, by_answer=by_answer)
    except UnusableData:
        return
    assert sorted(done.test, key=repr) == sorted(test, key=repr)
    assert split_around(examples[::-1], test[::-1], by_answer=by_answer) == done
    learned = [*done.train, *done.dev]
    assert not {one.key for one in learned} & {one.key for one in test}
    assert not {one.group for one in learned} & {one.group for one in test} - {None}
    assert done.train
    assert done.dev


@pytest.mark.parametrize("rows", [20, 30, 50, 99, 100, 149, 150, 200, 1000, 9_999])
@pytest.mark.parametrize("by_answer", [True, False])
def test_sizes_without_duplicates_are_within_a_row_of_what_is_wanted(rows, by_answer):
    done = split([example(f"text {n}", f"label {n % 5}") for n in range(rows)], by_answer=by_answer)
    assert abs(len(done.test) - test_rows(rows)) <= 1
    assert abs(len(done.dev) - dev_rows(rows)) <= 1


def test_wanted_sizes():
    assert [(test_rows(n), dev_rows(n)) for n in (20, 100, 150, 1000)] == [(6, 3), (30, 15), (30, 15), (200, 100)]
    assert (test_rows(10**6), dev_rows(10**6)) == (TEST_ROWS_MAX, DEV_ROWS_MAX)


def test_every_answer_is_trained_on_and_gets_its_share():
    labels = [f"label {n % 10}" for n in range(300)] + [f"rare {n}" for n in range(15)]
    done = split([example(f"text {n}", label) for n, label in enumerate(labels)], by_answer=True)
    train, test = (Counter(one.answer for one in part) for part in (done.train, done.test))
    assert set(train) == set(labels)
    assert all(5 <= test[f"label {n}"] <= 7 for n in range(10))


def test_large_groups_go_where_they_fit():
    examples = [example(f"text {n}", "x", f"group {n % 5}") for n in range(100)]
    done = split(examples, by_answer=False)
    assert sorted(map(len, parts_of(done))) == [20, 20, 60]
    assert len(done.train) == 60


def test_groups_joined_by_a_common_input_stay_together():
    chain = [
        example("one", "x", "A"),
        example("shared", "x", "A"),
        example("SHARED", "y", "B"),
        example("two", "x", "B"),
    ]
    others = [example(f"other {n}", "x") for n in range(20)]
    done = split([*chain, *others], by_answer=False)
    homes = {number for number, part in enumerate(parts_of(done)) for one in chain if one in part}
    assert len(homes) == 1


def test_too_few_bundles_cannot_be_divided():
    with pytest.raises(UnusableData, match="only 2 different inputs or groups"):
        split([example(f"text {n}", "x", f"group {n % 2}") for n in range(100)], by_answer=False)


def test_the_split_of_known_rows_is_known():
    """If this fails, every frozen dataset in the world would be divided anew: don't change the numbers, undo the change."""
    examples = [example(f"Message {n}", f"label {n % 3}", f"group {n}" if n % 4 else None) for n in range(24)]
    done = split(examples, by_answer=True)
    numbers = [sorted(int(one.input.split()[1]) for one in part) for part in parts_of(done)]
    assert numbers == [[1, 2, 3, 6, 7, 9, 11, 12, 13, 17, 18, 20, 22, 23], [0, 5, 16], [4, 8, 10, 14, 15, 19, 21]]
