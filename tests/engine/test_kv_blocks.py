"""Which blocks hold which sequence, under any order of growing and releasing."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chiliad.engine import kv_blocks
from chiliad.engine.kv_blocks import KVBlocks
from chiliad.engine.runner import SequenceId
from chiliad.errors import EngineError

BLOCKS_MAX = 10
numbers = st.integers(0, 4).map(SequenceId)


class BlocksMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.blocks = KVBlocks(tokens=4, numbers=64, blocks_max=BLOCKS_MAX)
        self.tables: dict[SequenceId, list[int]] = {}

    @rule(sequence=numbers, more=st.integers(1, 30))
    def extend(self, sequence, more):
        """A sequence grows in place, or nothing changes."""
        before = self.tables.get(sequence, [])
        length = 4 * len(before) + more
        needed = -(-length // 4) - len(before)
        if needed > self.blocks.blocks_free:
            with pytest.raises(EngineError):
                self.blocks.extend(sequence, length)
            return
        table = self.blocks.extend(sequence, length)
        assert table[: len(before)] == before
        assert len(table) == -(-length // 4)
        self.tables[sequence] = list(table)

    @rule(sequence=numbers)
    def release(self, sequence):
        self.blocks.release(sequence)
        self.tables.pop(sequence, None)

    @invariant()
    def no_block_is_owned_twice_and_none_is_lost(self):
        owned = [block for table in self.tables.values() for block in table]
        assert len(set(owned)) == len(owned)
        assert all(abs(a - b) >= 128 for a, b in zip(sorted(owned)[1:], sorted(owned), strict=False))
        assert self.blocks.blocks_free == BLOCKS_MAX - len(owned)
        assert self.blocks.blocks <= BLOCKS_MAX
        assert len(self.blocks) == len(self.tables)

    def teardown(self):
        for sequence in list(self.tables):
            self.release(sequence)
        assert self.blocks.blocks_free == BLOCKS_MAX


def test_any_order_of_growing_and_releasing(monkeypatch):
    monkeypatch.setattr(kv_blocks, "SLAB_BYTES", 3 * 128)
    case = BlocksMachine.TestCase
    case.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
    case("runTest").debug()


def test_an_idle_pool_takes_no_memory_and_reuses_what_it_took():
    blocks = KVBlocks(tokens=4, numbers=64, blocks_max=1000)
    assert blocks.blocks == 0
    first = list(blocks.extend(SequenceId(0), 9))
    blocks.release(SequenceId(0))
    assert set(blocks.extend(SequenceId(1), 12)) == set(first)
