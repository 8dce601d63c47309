"""Where keys and values lie."""

from __future__ import annotations

import pytest
import torch

from chiliad.engine.kv_cache import KVCache, _capacity
from chiliad.engine.runner import SequenceId


@pytest.fixture
def cache(tiny):
    return KVCache(tiny.model.config, torch.float32, torch.device("cpu"), context_max=300, lane_tokens=256)


def write(cache, sequence, length):
    """Make a sequence's tokens recognisable."""
    cache.extend(sequence, length)
    lane = cache.lane(sequence)
    lane.keys[:, lane.slots[sequence], :, :length] = sequence + 1
    lane.values[:, lane.slots[sequence], :, :length] = -sequence - 1


def assert_holds(cache, sequence, length):
    lane = cache.lane(sequence)
    row = lane.slots[sequence]
    assert (lane.keys[:, row, :, :length] == sequence + 1).all()
    assert (lane.values[:, row, :, :length] == -sequence - 1).all()
    assert not lane.keys[:, row, :, length:].any()
    assert not lane.values[:, row, :, length:].any()


@pytest.mark.parametrize(("length", "capacity"), [(1, 64), (64, 64), (65, 96), (97, 128), (129, 192), (1000, 1024)])
def test_capacities_waste_at_most_half(length, capacity):
    assert _capacity(length) == capacity


def test_an_idle_cache_takes_nothing(cache):
    assert cache.bytes == 0


def test_sequences_keep_what_is_theirs_while_others_come_grow_and_go(cache):
    numbers = [SequenceId(i) for i in range(9)]
    for number in numbers:
        write(cache, number, 10 + 12 * number)
    for number in (numbers[1], numbers[4], numbers[8]):
        cache.release(number)
        cache.release(number)
    cache.extend(numbers[3], 280)
    assert cache.lane(numbers[3]).capacity == 300
    cache.close_gaps()
    assert len(cache) == 6
    for number in (0, 2, 5, 6, 7):
        assert_holds(cache, numbers[number], 10 + 12 * number)
    assert_holds(cache, numbers[3], 46)
    for lane in cache.lanes:
        assert sorted(lane.slots[n] for n in numbers if n in lane.slots) == list(range(len(lane.slots)))


def test_a_row_is_clean_for_the_next(cache):
    write(cache, SequenceId(1), 50)
    cache.release(SequenceId(1))
    cache.extend(SequenceId(2), 3)
    lane = cache.lane(SequenceId(2))
    assert not lane.keys.any()
    assert not lane.values.any()


def test_the_last_to_leave_a_lane_gives_its_memory_back(cache):
    numbers = [SequenceId(i) for i in range(5)]
    for length in (10, 80, 120, 180, 250, 300):
        for number in numbers:
            wanting = cache.tokens + cache.tokens_wanting(number, length)
            write(cache, number, length)
            assert cache.tokens <= wanting
        cache.close_gaps()
        assert cache.tokens_used == sum(cache.lane(number).capacity for number in numbers)
        assert cache.tokens - cache.tokens_used < max(256, cache.lane(numbers[0]).capacity), "one lane at most has room"
        for number in numbers:
            assert_holds(cache, number, length)
    for number in numbers:
        cache.release(number)
    assert (cache.tokens, cache.bytes) == (0, 0)
