"""Whatever is done in whatever order, the files alone give the same registry again."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chiliad.errors import ExpertNotFound, PromotionRefused, RegistryError
from chiliad.registry import ExpertRef
from chiliad.registry.garbage import collect, find_garbage
from chiliad.registry.registry import utc_now
from tests.registry.conftest import FACTS, compared, open_registry
from tests.registry.tiny import write_adapter

NAMES = st.sampled_from(["a", "b"])
NUMBERS = st.integers(1, 5)


class AnyOrder(RuleBasedStateMachine):
    """A model of what should be: which versions exist, which one is live."""

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp())
        self.adapter = self.folder / "adapter"
        self.adapter.mkdir()
        write_adapter(self.adapter, widths={"q_proj": (4, 4)}, layers=1, rank=1)
        self.workspace = self.folder / "ws"
        self.registry = open_registry(self.workspace)
        self.numbers: dict[str, set[int]] = {"a": set(), "b": set()}
        self.live: dict[str, int | None] = {"a": None, "b": None}
        self.ever: dict[str, int] = {"a": 0, "b": 0}

    def teardown(self):
        shutil.rmtree(self.folder)

    @rule(name=NAMES)
    def add(self, name):
        with self.registry.write_version(name, FACTS) as draft:
            shutil.copytree(self.adapter, draft.folder, dirs_exist_ok=True)
        assert draft.ref.number > self.ever[name], "a number was given out twice"
        self.ever[name] = draft.ref.number
        self.numbers[name].add(draft.ref.number)

    @rule(name=NAMES, number=NUMBERS, worse=st.booleans(), force=st.booleans())
    def promote(self, name, number, worse, force):
        live = self.live[name]
        evidence = compared(number, live, delta=-0.2 if worse else 0.2, p_value=0.001) if live else None
        if number not in self.numbers[name]:
            with pytest.raises(ExpertNotFound):
                self.registry.promote(name, number, evidence, force=force)
        elif live not in (None, number) and worse and not force:
            with pytest.raises(PromotionRefused):
                self.registry.promote(name, number, evidence)
        else:
            self.registry.promote(name, number, evidence, force=force)
            self.live[name] = number

    @rule(name=NAMES)
    def rollback(self, name):
        try:
            step = self.registry.rollback(name)
        except (ExpertNotFound, RegistryError):
            return
        assert step.version in self.numbers[name]
        assert step.version != self.live[name]
        self.live[name] = step.version

    @rule(name=NAMES, number=NUMBERS, force=st.booleans())
    def delete(self, name, number, force):
        if number not in self.numbers[name] or (self.live[name] == number and not force):
            with pytest.raises(RegistryError):
                self.registry.delete(ExpertRef(name, number), force=force)
            return
        self.registry.delete(ExpertRef(name, number), force=force)
        self.numbers[name].remove(number)
        self.live[name] = None if self.live[name] == number else self.live[name]

    @rule(keep=st.integers(0, 3))
    def gc(self, keep):
        garbage = find_garbage(self.registry, now=utc_now(), keep=keep)
        collect(self.registry, garbage, now=utc_now())
        for ref in garbage.versions:
            assert ref.number != self.live[ref.name]
            self.numbers[ref.name].remove(ref.number)

    @precondition(lambda self: any(self.numbers.values()))
    @rule(lose=st.booleans())
    def reopen(self, lose):
        if lose:
            for path in self.workspace.glob("chiliad.db*"):
                path.unlink()
        history = {name: self.registry.history(name) for name in self.numbers} if not lose else None
        self.registry = open_registry(self.workspace)
        if history is not None:
            assert {name: self.registry.history(name) for name in self.numbers} == history

    @invariant()
    def listed(self):
        assert {e.name: (set(e.numbers), e.live.number if e.live else None) for e in self.registry.experts()} == {
            name: (numbers, self.live[name]) for name, numbers in self.numbers.items() if numbers
        }


AnyOrder.TestCase.settings = settings(
    max_examples=8, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnyOrder = AnyOrder.TestCase
