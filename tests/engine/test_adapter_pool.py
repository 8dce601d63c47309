"""The bounded cache of adapters, and what is on its way into it."""

from __future__ import annotations

import pytest
import torch

from chiliad.adapters import AdapterHash, LoraAdapter, LoraShape
from chiliad.engine.adapter_pool import AdapterPool
from chiliad.errors import BrokenAdapter
from tests.engine.loaders import AtOnce, WhenTold, nobody

SHAPE = LoraShape(1, 1.0, False, ("q_proj",))


def adapter(name, numbers=250):
    """1000 bytes, unless said otherwise."""
    factors = {(0, "q_proj"): (torch.zeros(1, numbers), torch.zeros(0, 1))}
    return LoraAdapter(AdapterHash(name), SHAPE, None, factors)


class Disk:
    def __init__(self):
        self.reads = []

    def __call__(self, name):
        self.reads.append(name)
        if name == "broken":
            raise BrokenAdapter("It is broken.", fix="Mend it.")
        return adapter(name)


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def pool(disk):
    return AdapterPool(disk, 3000, AtOnce(), nobody)


def hold(pool, name):
    pool.hold(AdapterHash(name))
    return pool.get(AdapterHash(name))


def use(pool, *names):
    for name in names:
        assert hold(pool, name).hash == name
        pool.release(AdapterHash(name))


def test_a_miss_loads_and_a_hit_does_not(pool, disk):
    use(pool, "a", "b", "a", "b")
    assert disk.reads == ["a", "b"]
    assert (pool.bytes_held, pool.bytes_idle) == (0, 2000)


def test_the_least_recently_used_makes_room(pool, disk):
    use(pool, "a", "b", "c", "a", "d")
    assert "b" not in pool
    assert all(name in pool for name in "acd")
    use(pool, "b")
    assert disk.reads == ["a", "b", "c", "d", "b"]


def test_what_is_in_use_stays(pool):
    held = hold(pool, "a")
    assert hold(pool, "a") is held
    use(pool, "b", "c", "d", "e")
    pool.release(AdapterHash("a"))
    use(pool, "f", "g", "h")
    assert hold(pool, "a") is held


def test_there_is_no_room_when_all_is_in_use(pool):
    for name in "abc":
        hold(pool, name)
    assert not pool.has_room(AdapterHash("d"))
    assert pool.has_room(AdapterHash("a"))
    pool.release(AdapterHash("b"))
    assert pool.has_room(AdapterHash("d"))
    hold(pool, "d")
    assert "b" not in pool
    assert pool.bytes_held + pool.bytes_idle == 3000


def test_one_larger_than_the_bound_is_used_and_not_kept(disk):
    pool = AdapterPool(disk, 10, AtOnce(), nobody)
    assert pool.has_room(AdapterHash("a"))
    use(pool, "a")
    assert "a" not in pool
    assert pool.bytes_idle == 0


def test_one_that_cannot_be_read_holds_nothing_and_is_tried_again(pool, disk):
    for _ in range(2):
        with pytest.raises(BrokenAdapter):
            hold(pool, "broken")
        pool.release(AdapterHash("broken"))
    assert disk.reads == ["broken", "broken"]
    assert (len(pool), pool.bytes_held, pool.bytes_idle) == (0, 0, 0)


def test_what_is_being_read_is_not_there_yet_and_takes_room(disk):
    loader, told = WhenTold(), []
    pool = AdapterPool(disk, 3000, loader, lambda: told.append(len(disk.reads)))
    for name in "aa":
        assert hold(pool, name) is None
    assert not pool.has_room(AdapterHash("b")), "how large it is nobody knows yet"
    loader.run_next()
    assert (disk.reads, told) == (["a"], [1])
    assert pool.get(AdapterHash("a")).hash == "a"
    for name in "bc":
        assert pool.has_room(AdapterHash(name))
        assert hold(pool, name) is None
    assert not pool.has_room(AdapterHash("d")), "two on their way, as large as the first, and the first itself"


@pytest.mark.parametrize("late", [False, True])
def test_one_that_nobody_wants_any_more_is_not_kept(disk, late):
    loader = WhenTold()
    pool = AdapterPool(disk, 3000, loader, nobody)
    hold(pool, "a")
    if late:
        loader.run_next()
    pool.release(AdapterHash("a"))
    loader.run_next()
    assert (len(pool), pool.bytes_held, pool.bytes_idle) == (0, 0, 0)
    assert disk.reads == (["a"] if late else [])
