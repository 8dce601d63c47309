"""Shares of the machine add up to the time that it was busy, and a longer or lonelier answer has the larger one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiliad.ledger import MachineTime


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_one_answer_alone_has_all_of_the_time():
    clock = Clock()
    machine = MachineTime(clock)
    clock.now += 5  # idle time is nobody's
    entered = machine.enter()
    clock.now += 2
    assert machine.leave(entered) == 2


def test_two_answers_share_the_time_that_they_have_in_common():
    clock = Clock()
    machine = MachineTime(clock)
    first = machine.enter()
    clock.now += 1
    second = machine.enter()
    clock.now += 4
    assert machine.leave(second) == 2
    clock.now += 1
    assert machine.leave(first) == 4


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=40))
def test_shares_add_up_to_the_busy_time(steps):
    clock, shares, under_way, busy = Clock(), [], [], 0.0
    machine = MachineTime(clock)
    for seconds, begins in steps:
        clock.now += seconds
        busy += seconds if under_way else 0
        if begins:
            under_way.append(machine.enter())
        elif under_way:
            shares.append(machine.leave(under_way.pop(0)))
    shares += [machine.leave(entered) for entered in under_way]
    assert sum(shares) == pytest.approx(busy, abs=1e-6)
    assert all(share >= 0 for share in shares)
