from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chiliad.engine.slots import DenseSlots


@given(st.lists(st.tuples(st.sampled_from("prc"), st.integers(0, 9))))
def test_slots_are_unique_and_dense_after_closing_gaps(commands):
    """Each key's content follows it through the moves, as an owner would copy it."""
    slots: DenseSlots[int] = DenseSlots()
    content: dict[int, int] = {}
    keys: set[int] = set()
    for command, key in commands:
        if command == "p" and key not in keys:
            content[slots.place(key)] = key
            keys.add(key)
        elif command == "r" and key in keys:
            slots.remove(key)
            keys.remove(key)
        elif command == "c":
            for moved, source, target in slots.close_gaps():
                assert content[source] == moved
                content[target] = moved
            assert sorted(slots[key] for key in keys) == list(range(len(keys)))
        assert {content[slots[key]] for key in keys} == keys
        assert len(slots) == len(keys)
