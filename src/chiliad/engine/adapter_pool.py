"""Adapters in memory: read on a miss, kept least-recently-used within a number of bytes, never dropped while in use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from chiliad.adapters import AdapterHash, LoadedAdapter
from chiliad.engine.runner import PreparedAdapter

LoadAdapter = Callable[[AdapterHash], LoadedAdapter]
"""reads an adapter's files"""


@dataclass
class _Held:
    loading: Future[PreparedAdapter] | None
    """until it is here"""
    adapter: PreparedAdapter | None = None
    users: int = 0


class AdapterPool:
    """A bounded cache in front of `load`, which runs elsewhere: nobody waits here. Used from one thread.

    What is being read counts as large as the largest so far, and the first one fills the pool: an adapter's size is known
    only once it is read. So one may pass the bound, by as much as it is larger than those before it.
    """

    def __init__(
        self,
        load: Callable[[AdapterHash], PreparedAdapter],
        bytes_max: int,
        loader: Executor,
        on_loaded: Callable[[], None],
    ) -> None:
        """loader: runs `load`; on_loaded: called from wherever that is, after each."""
        self._load = load
        self._bytes_max = bytes_max
        self._loader, self._on_loaded = loader, on_loaded
        self._held: dict[AdapterHash, _Held] = {}
        self._idle: OrderedDict[AdapterHash, PreparedAdapter] = OrderedDict()
        self._largest: int | None = None
        self.bytes_held = 0
        self.bytes_idle = 0

    def __contains__(self, adapter: AdapterHash) -> bool:
        return adapter in self._held or adapter in self._idle

    def __len__(self) -> int:
        """Adapters in use."""
        return len(self._held)

    def has_room(self, adapter: AdapterHash) -> bool:
        """Whether `hold` keeps to the bound: the adapter is here, or those in use leave something free."""
        if adapter in self:
            return True
        loading = sum(held.adapter is None for held in self._held.values())
        expected = self._bytes_max if self._largest is None else self._largest
        return self.bytes_held + loading * expected < self._bytes_max

    def hold(self, adapter: AdapterHash) -> None:
        """Keep an adapter until `release`, and begin to read it if it is not here."""
        if adapter not in self._held:
            self._held[adapter] = self._known(adapter) or self._begin(adapter)
        self._held[adapter].users += 1

    def get(self, adapter: AdapterHash) -> PreparedAdapter | None:
        """A held adapter; None while it is being read. Raises what `load` raised; it has to be released all the same."""
        held = self._held[adapter]
        if held.loading is not None and held.loading.done():
            self._take_in(held, held.loading.result())
        return held.adapter

    def release(self, adapter: AdapterHash) -> None:
        """Give back what `hold` held, once for each time. What has been read in vain is forgotten."""
        held = self._held[adapter]
        held.users -= 1
        if held.users:
            return
        del self._held[adapter]
        if held.loading is not None:
            held.loading.cancel()
        elif held.adapter is not None:
            self._idle[adapter] = held.adapter
            self.bytes_held -= held.adapter.bytes
            self.bytes_idle += held.adapter.bytes
            self._shrink()

    def _known(self, adapter: AdapterHash) -> _Held | None:
        idle = self._idle.pop(adapter, None)
        if idle is None:
            return None
        self.bytes_idle -= idle.bytes
        self.bytes_held += idle.bytes
        return _Held(None, idle)

    def _begin(self, adapter: AdapterHash) -> _Held:
        loading = self._loader.submit(self._load, adapter)
        loading.add_done_callback(lambda _: self._on_loaded())
        return _Held(loading)

    def _take_in(self, held: _Held, adapter: PreparedAdapter) -> None:
        held.loading, held.adapter = None, adapter
        self._largest = max(adapter.bytes, self._largest or 0)
        self.bytes_held += adapter.bytes
        self._shrink()

    def _shrink(self) -> None:
        while self._idle and self.bytes_held + self.bytes_idle > self._bytes_max:
            _, dropped = self._idle.popitem(last=False)
            self.bytes_idle -= dropped.bytes
