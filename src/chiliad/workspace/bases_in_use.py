"""The bases of this machine that a workspace uses, each opened once."""

from __future__ import annotations

from threading import Lock

from chiliad.base import DEFAULT_BASE, BaseStore
from chiliad.config import Settings
from chiliad.workspace.served_base import ServedBase


class BasesInUse:
    """Opens a base when it is first asked for. Safe to share between threads."""

    def __init__(self, store: BaseStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._opened: dict[str, ServedBase] = {}
        self._opening = Lock()

    def get(self, base_id: str) -> ServedBase:
        """The default base is fetched if it is missing. Raises BaseNotFound."""
        return self._opened.get(base_id) or self._open(base_id)

    def id_of(self, name: str) -> str:
        """The base that has this id, or that answers here to this name of a hosted model. Raises BaseNotFound."""
        known = name in self._store.ids()
        return self._store.get(name if known else self._settings.hosted(name) or name).id

    def rest(self) -> None:
        for served in self._opened.values():
            served.rest()

    def close(self) -> None:
        for served in self._opened.values():
            served.close()

    def _open(self, base_id: str) -> ServedBase:
        base = self._store.pull(base_id) if base_id == DEFAULT_BASE else self._store.get(base_id)
        with self._opening:  # not while one is fetched: others are opened meanwhile
            if base_id not in self._opened:
                self._opened[base_id] = ServedBase(base, self._settings)
            return self._opened[base_id]
