"""A workspace of tiny experts: real adapter files of a two-layer base with eight hidden numbers."""

from datetime import UTC, datetime, timedelta

import pytest

from chiliad.registry import Comparison, ExpertFacts, Registry
from chiliad.store import Store, sqlite_url
from tests.registry.tiny import write_adapter
from tests.small_disk import small_disk

__all__ = ["small_disk"]

FACTS = ExpertFacts(base_id="tiny", base_fingerprint="f" * 64, kind="labels", choices=("yes", "no"))


class Clock:
    """A minute passes at every look."""

    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        self.now += timedelta(minutes=1)
        return self.now


def open_registry(workspace):
    return Registry(Store.open(sqlite_url(workspace / "chiliad.db")), workspace, clock=Clock())


@pytest.fixture
def workspace(tmp_path):
    return tmp_path / "ws"


@pytest.fixture
def registry(workspace):
    return open_registry(workspace)


def add(registry, name, *, facts=FACTS, seed=0):
    """Write one more version and return it."""
    with registry.write_version(name, facts) as draft:
        write_adapter(draft.folder, seed=seed)
    return registry.get(draft.ref)


def compared(candidate, live, *, delta, p_value, n=100):
    return Comparison(
        candidate=candidate,
        live=live,
        dataset_hash="d" * 64,
        metric="accuracy",
        candidate_score=0.8 + delta,
        live_score=0.8,
        delta=delta,
        p_value=p_value,
        low=delta - 0.05,
        high=delta + 0.05,
        n=n,
    )
