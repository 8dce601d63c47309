import pytest

from chiliad.data import Dataset, Example, Message, assemble, thinned


@pytest.fixture
def dataset() -> Dataset:
    rows = [Example.of([Message("user", f"ticket {n}")], "rare" if n % 10 == 0 else "usual") for n in range(400)]
    return assemble(rows, source="x")


def share(examples):
    return sum(example.answer == "rare" for example in examples) / len(examples)


def test_a_smaller_set_is_part_of_the_larger_one_and_answers_keep_their_shares(dataset):
    small, large = (thinned(dataset, rows, draw=0) for rows in (40, 120))
    assert (len(small.train), len(large.train)) == (40, 120)
    assert set(small.train) < set(large.train) < set(dataset.train)
    assert share(small.train) == pytest.approx(share(dataset.train), abs=0.03)
    assert (small.dev, small.test, small.labels, small.kind) == (
        dataset.dev,
        dataset.test,
        dataset.labels,
        dataset.kind,
    )


def test_each_draw_takes_other_rows_and_the_same_draw_the_same(dataset):
    first, again, other = (thinned(dataset, 40, draw=draw) for draw in (0, 0, 1))
    assert first == again
    assert first.hash != other.hash
    assert set(first.train) != set(other.train)
    assert thinned(dataset, len(dataset.train), draw=0) == dataset


def test_labels_stay_known_where_too_few_rows_are_left_for_all(dataset):
    assert thinned(dataset, 1, draw=0).labels == ("rare", "usual")
