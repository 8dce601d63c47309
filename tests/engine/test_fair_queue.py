"""Turns: by tokens had, by priority, by age; nobody starves and nothing is kept of those who have left."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chiliad.engine import Request, RequestId
from chiliad.engine.fair_queue import AGING_S, FairQueue
from chiliad.engine.runner import SequenceId
from chiliad.engine.sequence import Sequence


def _sequence(number: int, share: str = "", *, at: float = 0.0, priority: int = 0) -> Sequence:
    request = Request(RequestId(str(number)), (5,), share=share, priority=priority)
    unused: Any = None
    return Sequence(SequenceId(number), request, None, unused, unused, at)


def _order(queue: FairQueue, *, tokens: int = 10) -> list[int]:
    """Who runs when, with one slot and equal work."""
    order = []
    while (sequence := queue.first()) is not None:
        queue.take(sequence)
        queue.charge(sequence, tokens)
        order.append(sequence.id)
    return order


def _queue(*sequences: Sequence) -> FairQueue:
    queue = FairQueue()
    for sequence in sequences:
        queue.add(sequence)
    return queue


def test_one_share_is_first_come_first_served():
    assert _order(_queue(*(_sequence(i, at=float(i)) for i in range(5)))) == [0, 1, 2, 3, 4]


def test_a_busy_share_does_not_starve_another():
    queue = _queue(_sequence(0, "a"), _sequence(1, "b"), *(_sequence(i, "a") for i in range(2, 6)), _sequence(6, "b"))
    assert _order(queue) == [0, 1, 2, 6, 3, 4, 5]


def test_turns_are_by_tokens_not_by_requests():
    queue = _queue(*(_sequence(i, "long") for i in range(2)), *(_sequence(i, "short") for i in range(2, 8)))
    order = []
    while (sequence := queue.first()) is not None:
        queue.take(sequence)
        queue.charge(sequence, 300 if sequence.request.share == "long" else 100)
        order.append(sequence.request.share)
    assert order == ["long", *["short"] * 3, "long", *["short"] * 3]


def test_a_share_that_comes_back_starts_level():
    queue = _queue(_sequence(0, "a"))
    assert _order(queue, tokens=1_000) == [0]
    for sequence in (_sequence(1, "b"), _sequence(2, "a"), _sequence(3, "b"), _sequence(4, "b")):
        queue.add(sequence)
    assert _order(queue) == [1, 2, 3, 4]


def test_priority_comes_first_and_waiting_makes_up_for_it():
    low, high = _sequence(0, at=0.0), _sequence(1, at=0.0, priority=1)
    assert _order(_queue(low, high)) == [1, 0]
    old, new = _sequence(0, at=0.0), _sequence(1, at=2 * AGING_S, priority=1)
    assert _order(_queue(old, new)) == [0, 1]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.booleans()), max_size=30))
def test_everyone_is_served_once_or_leaves_and_nothing_is_kept(arrivals):
    sequences = [_sequence(i, share, at=float(i), priority=p) for i, (share, p, _) in enumerate(arrivals)]
    queue = _queue(*sequences)
    gone = [s for s, (_, _, leaves) in zip(sequences, arrivals, strict=True) if leaves]
    for sequence in gone:
        queue.leave(sequence)
    served = _order(queue)
    assert sorted([*served, *(s.id for s in gone)]) == list(range(len(arrivals)))
    for sequence in sequences:
        if sequence not in gone:
            queue.leave(sequence)
    assert (queue._lines, queue._had, queue._members, queue._waiting) == ({}, {}, {}, set())
