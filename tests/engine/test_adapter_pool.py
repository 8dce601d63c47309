"""The bounded cache of adapters."""

from __future__ import annotations

import pytest
import torch

from chiliad.adapters import AdapterHash, LoraAdapter, LoraShape
from chiliad.engine.adapter_pool import AdapterPool
from chiliad.errors import BrokenAdapter

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
    return AdapterPool(disk, bytes_max=3000)


def use(pool, *names):
    for name in names:
        assert pool.acquire(AdapterHash(name)).hash == name
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
    held = pool.acquire(AdapterHash("a"))
    pool.acquire(AdapterHash("a"))
    use(pool, "b", "c", "d", "e")
    pool.release(AdapterHash("a"))
    use(pool, "f", "g", "h")
    assert pool.acquire(AdapterHash("a")) is held


def test_there_is_no_room_when_all_is_in_use(pool):
    for name in "abc":
        pool.acquire(AdapterHash(name))
    assert not pool.has_room(AdapterHash("d"))
    assert pool.has_room(AdapterHash("a"))
    pool.release(AdapterHash("b"))
    assert pool.has_room(AdapterHash("d"))
    pool.acquire(AdapterHash("d"))
    assert "b" not in pool
    assert pool.bytes_held + pool.bytes_idle == 3000


def test_one_larger_than_the_bound_is_used_and_not_kept(disk):
    pool = AdapterPool(disk, bytes_max=10)
    assert pool.has_room(AdapterHash("a"))
    use(pool, "a")
    assert "a" not in pool
    assert pool.bytes_idle == 0


def test_one_that_cannot_be_read_holds_nothing(pool):
    with pytest.raises(BrokenAdapter):
        pool.acquire(AdapterHash("broken"))
    assert "broken" not in pool
    assert pool.bytes_held == 0
