"""Which blocks hold which sequence, and what they share, under any order of calls."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chiliad.engine import kv_blocks
from chiliad.engine.kv_blocks import BASE, KVBlocks, Origin
from chiliad.engine.runner import SequenceId
from chiliad.errors import EngineError

BLOCKS_MAX, IDLE_MAX = 10, 3
numbers = st.integers(0, 4).map(SequenceId)
origins = st.builds(Origin, st.sampled_from(["", "a", "b"]), st.sampled_from([0, 0, 3, 4, 6, 9, 13]))


def contents(origin, tokens):
    """What keys and values of these tokens come from."""
    return [(origin.adapter if place >= origin.acts_from else "", token) for place, token in enumerate(tokens)]


class BlocksMachine(RuleBasedStateMachine):
    """Sequences write tokens as a runner does; `content` is what a block would hold: all tokens so far, and the adapter that
    acts on each."""

    def __init__(self):
        super().__init__()
        self.blocks = KVBlocks(tokens=4, numbers=64, blocks_max=BLOCKS_MAX, idle_max=IDLE_MAX)
        self.content: dict[int, list[tuple[str, int]]] = {}
        self.tables: dict[SequenceId, list[int]] = {}
        self.tokens: dict[SequenceId, tuple[Origin, list[int]]] = {}

    @rule(sequence=numbers, origin=origins, prompt=st.lists(st.integers(0, 1), min_size=1, max_size=14))
    def begin(self, sequence, origin, prompt):
        """What is said to be known was written there, by whomever, and has not been overwritten."""
        if sequence in self.tables:
            return
        known = self.blocks.begin(sequence, origin, prompt)
        assert known < len(prompt)
        self.tokens[sequence] = (origin, prompt[:known])
        self.tables[sequence] = list(self.blocks.extend(sequence, known))
        self.check_content(sequence)
        self.grow(sequence, prompt[known:])

    @rule(sequence=numbers, more=st.lists(st.integers(0, 1), min_size=1, max_size=30))
    def grow(self, sequence, more):
        """A sequence, begun or not, grows in place, or nothing changes."""
        origin, tokens = self.tokens.get(sequence, (Origin(f"{sequence} alone"), []))
        before = self.tables.get(sequence, [])
        length = len(tokens) + len(more)
        needed = -(-length // 4) - len(before)
        if needed > self.blocks.blocks_free:
            with pytest.raises(EngineError):
                self.blocks.extend(sequence, length)
            return
        table = list(self.blocks.extend(sequence, length))
        assert table[: len(before)] == before
        assert len(table) == -(-length // 4)
        tokens = tokens + more
        for place in range((length - len(more)) // 4, len(table)):
            assert self.owners(table[place]) <= 1, "written into a shared block"
            self.content[table[place]] = contents(origin, tokens[: 4 * place + 4])
        self.blocks.written(sequence, more)
        self.tokens[sequence] = (origin, tokens)
        self.tables[sequence] = list(self.blocks.extend(sequence, length))
        self.check_content(sequence)

    @rule(sequence=numbers)
    def release(self, sequence):
        self.blocks.release(sequence)
        self.tables.pop(sequence, None)
        self.tokens.pop(sequence, None)

    def owners(self, block):
        return sum(block in table for table in self.tables.values())

    def check_content(self, sequence):
        origin, tokens = self.tokens[sequence]
        for place, block in enumerate(self.tables[sequence]):
            assert self.content[block] == contents(origin, tokens[: 4 * place + 4])

    @invariant()
    def no_block_is_lost_and_memory_keeps_to_its_bounds(self):
        owned = {block for table in self.tables.values() for block in table}
        assert all(abs(a - b) >= 128 for a, b in zip(sorted(owned)[1:], sorted(owned), strict=False))
        assert self.blocks.blocks_free == BLOCKS_MAX - len(owned)
        assert self.blocks.blocks <= BLOCKS_MAX
        assert self.blocks.blocks_idle <= IDLE_MAX
        assert len(self.blocks) == len(self.tables)

    def teardown(self):
        for sequence in list(self.tables):
            self.check_content(sequence)
            self.release(sequence)
        assert self.blocks.blocks_free == BLOCKS_MAX


def test_any_order_of_beginning_growing_and_releasing(monkeypatch):
    monkeypatch.setattr(kv_blocks, "SLAB_BYTES", 3 * 128)
    case = BlocksMachine.TestCase
    case.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
    case("runTest").debug()


def filled(blocks, sequence, origin, tokens):
    """Run a whole prompt as a runner would; returns how much of it was known."""
    known = blocks.begin(sequence, origin, tokens)
    blocks.extend(sequence, len(tokens))
    blocks.written(sequence, tokens[known:])
    return known


def test_prompts_that_begin_alike_share_blocks_also_after_their_owner_left():
    blocks = KVBlocks(tokens=4, numbers=64, blocks_max=20, idle_max=10)
    assert filled(blocks, SequenceId(0), Origin("x"), range(11)) == 0
    assert filled(blocks, SequenceId(1), Origin("x"), range(11)) == 8
    assert blocks.extend(SequenceId(0), 11)[:2] == blocks.extend(SequenceId(1), 11)[:2]
    blocks.release(SequenceId(0))
    blocks.release(SequenceId(1))
    assert blocks.begin(SequenceId(2), Origin("x"), range(12)) == 8, "the last token always has to be run"
    assert blocks.begin(SequenceId(3), Origin("y"), range(12)) == 0, (
        "under another adapter there are other keys and values"
    )


def test_what_no_adapter_acts_on_yet_is_everybodys():
    blocks = KVBlocks(tokens=4, numbers=64, blocks_max=40, idle_max=20)
    later, elsewhere = Origin("x", 9), Origin("y", 9)
    assert filled(blocks, SequenceId(0), BASE, range(14)) == 0
    assert filled(blocks, SequenceId(1), later, range(14)) == 8
    assert filled(blocks, SequenceId(2), elsewhere, range(14)) == 8
    assert filled(blocks, SequenceId(3), later, range(14)) == 12
    assert filled(blocks, SequenceId(4), Origin("x", 10), range(14)) == 8, "one token more is the base's"
    assert filled(blocks, SequenceId(5), Origin("x"), range(14)) == 0


def test_what_was_used_longest_ago_goes_first_and_ends_go_before_starts():
    blocks = KVBlocks(tokens=4, numbers=64, blocks_max=20, idle_max=3)
    for number, first in enumerate((0, 100)):
        filled(blocks, SequenceId(number), Origin("x"), range(first, first + 9))
        blocks.release(SequenceId(number))
    assert blocks.begin(SequenceId(8), Origin("x"), range(9)) == 4
    assert blocks.begin(SequenceId(9), Origin("x"), range(100, 109)) == 8


def test_without_idle_blocks_nothing_is_shared():
    blocks = KVBlocks(tokens=4, numbers=64, blocks_max=20)
    assert filled(blocks, SequenceId(0), Origin("x"), range(11)) == 0
    assert filled(blocks, SequenceId(1), Origin("x"), range(11)) == 0
    assert not set(blocks.extend(SequenceId(0), 11)) & set(blocks.extend(SequenceId(1), 11))


def test_an_idle_pool_takes_no_memory_and_reuses_what_it_took():
    blocks = KVBlocks(tokens=4, numbers=64, blocks_max=1000)
    assert blocks.blocks == 0
    first = list(blocks.extend(SequenceId(0), 9))
    blocks.release(SequenceId(0))
    assert set(blocks.extend(SequenceId(1), 12)) == set(first)
