"""Adapters in memory: loaded on a miss, kept least-recently-used within a number of bytes, never dropped while in use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from chiliad.adapters import Adapter, AdapterHash
from chiliad.engine.runner import PreparedAdapter

LoadAdapter = Callable[[AdapterHash], Adapter]
"""reads an adapter's files"""


@dataclass
class _Held:
    adapter: PreparedAdapter
    users: int = 0


class AdapterPool:
    """A bounded cache in front of `load`. Used from one thread.

    One adapter may pass the bound: its size is known only once it is read, and `has_room` is asked before.
    """

    def __init__(self, load: Callable[[AdapterHash], PreparedAdapter], bytes_max: int) -> None:
        self._load = load
        self._bytes_max = bytes_max
        self._held: dict[AdapterHash, _Held] = {}
        self._idle: OrderedDict[AdapterHash, PreparedAdapter] = OrderedDict()
        self.bytes_held = 0
        self.bytes_idle = 0

    def __contains__(self, adapter: AdapterHash) -> bool:
        return adapter in self._held or adapter in self._idle

    def has_room(self, adapter: AdapterHash) -> bool:
        """Whether `acquire` keeps to the bound: the adapter is here, or those in use leave something free."""
        return adapter in self or self.bytes_held < self._bytes_max

    def acquire(self, adapter: AdapterHash) -> PreparedAdapter:
        """Hold an adapter until `release`, reading it if need be. Raises what `load` raises, and then holds nothing."""
        held = self._held.get(adapter) or self._hold(adapter)
        held.users += 1
        return held.adapter

    def release(self, adapter: AdapterHash) -> None:
        """Give back what `acquire` held, once for each time."""
        held = self._held[adapter]
        held.users -= 1
        if held.users == 0:
            del self._held[adapter]
            self._idle[adapter] = held.adapter
            self.bytes_held -= held.adapter.bytes
            self.bytes_idle += held.adapter.bytes
            self._shrink()

    def _hold(self, adapter: AdapterHash) -> _Held:
        if adapter in self._idle:
            self.bytes_idle -= self._idle[adapter].bytes
            held = _Held(self._idle.pop(adapter))
        else:
            held = _Held(self._load(adapter))
        self._held[adapter] = held
        self.bytes_held += held.adapter.bytes
        self._shrink()
        return held

    def _shrink(self) -> None:
        while self._idle and self.bytes_held + self.bytes_idle > self._bytes_max:
            _, dropped = self._idle.popitem(last=False)
            self.bytes_idle -= dropped.bytes
