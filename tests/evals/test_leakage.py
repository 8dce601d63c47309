"""Copies and near copies of training inputs are found; others are not."""

import random

from rapidfuzz import fuzz

from chiliad.evals.leakage import find_leakage


def test_copies_and_near_copies_are_told_apart():
    train = ["Where is my parcel number 12?", "I want to cancel my subscription today, please.", "hello"]
    test = [
        "where is  my parcel NUMBER 12?",
        "I want to cancel my subscription today please",
        "I want to cancel my flight tomorrow",
        "bye",
    ]
    leakage = find_leakage(train, test)
    assert leakage.exact == (0,)
    assert leakage.near == (1,)


def test_nothing_in_common_nothing_found():
    assert find_leakage(["abc def"], ["xyz uvw"]).near == ()
    assert find_leakage([], ["x"]).exact == ()
    assert find_leakage(["x"], []).near == ()


def test_it_agrees_with_comparing_every_pair():
    rng = random.Random(5)
    words = [f"w{rng.randrange(10**6)}" for _ in range(60)]
    train = [" ".join(rng.choices(words, k=12)) for _ in range(300)]
    test = [" ".join(rng.choices(words, k=12)) for _ in range(40)]
    for text in rng.sample(train, 30):
        broken = list(text)
        for _ in range(rng.randrange(1, 12)):
            broken[rng.randrange(len(broken))] = rng.choice("abc ")
        test.append("".join(broken))
    wanted = {
        row for row, text in enumerate(test) if any(fuzz.ratio(" ".join(text.split()), other) >= 90 for other in train)
    }
    leakage = find_leakage(train, test)
    assert len(wanted) > 10
    assert {*leakage.exact, *leakage.near} == wanted


def test_a_handful_of_letters_is_no_obstacle():
    assert find_leakage(["?", "", "a"], ["?", "b", ""]).exact == (0, 2)
