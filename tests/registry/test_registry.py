"""Versions, aliases, deletion and rebuilding, on real files and a real database."""

import json
import shutil
from dataclasses import replace

import pytest

from chiliad.errors import (
    BrokenAdapter,
    ExpertNotFound,
    PromotionRefused,
    RegistryError,
    StoreError,
    VersionConflict,
    WrongBase,
)
from chiliad.registry import Action, ExpertRef, Registry
from chiliad.store import Store, sqlite_url
from chiliad.store.files import write_atomic
from tests.registry.conftest import FACTS, add, compared, open_registry
from tests.registry.tiny import write_adapter


def test_a_version_is_written_whole_and_read_back(registry, workspace):
    facts = replace(FACTS, dataset_hash="d" * 64, instruction="Wähle.", training={"epochs": 3, "loss": [1.0, 0.5]})
    version = add(registry, "tickets", facts=facts)
    assert str(version.ref) == "tickets@1"
    assert version.facts == facts
    assert registry.folder(version.ref) == workspace / "experts" / "tickets" / "1"
    assert {p.name for p in registry.folder(version.ref).iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "expert.json",
    }
    assert json.loads((registry.folder(version.ref) / "expert.json").read_text())["choices"] == ["yes", "no"]


def test_the_hash_is_of_the_adapter_and_not_of_its_name(registry):
    first, other = add(registry, "tickets"), add(registry, "tickets", seed=1)
    with registry.write_version("orders", FACTS) as draft:
        for path in registry.folder(first.ref).glob("adapter*"):
            shutil.copy(path, draft.folder)
    assert registry.get(draft.ref).adapter_hash == first.adapter_hash != other.adapter_hash
    assert [first.number, other.number, draft.ref.number] == [1, 2, 1]


def test_a_failed_version_leaves_nothing_and_its_number_is_not_used_again(registry, workspace):
    with pytest.raises(BrokenAdapter), registry.write_version("tickets", FACTS):
        pass  # no adapter was written
    assert registry.experts() == []
    assert list((workspace / "experts" / "tickets").iterdir()) == []
    assert add(registry, "tickets").number == 2


def test_two_writers_of_one_version(registry):
    add(registry, "tickets")
    with pytest.raises(VersionConflict), registry.write_version("tickets", FACTS, number=1):
        pytest.fail("a taken number was given out")
    slow = registry.write_version("tickets", FACTS, number=2)
    write_adapter(slow.__enter__().folder, seed=1)
    with registry.write_version("tickets", FACTS, number=2) as fast:
        write_adapter(fast.folder, seed=2)
    with pytest.raises(VersionConflict):
        slow.__exit__(None, None, None)
    assert len(registry.versions("tickets")) == 2
    assert add(registry, "tickets").number == 3


def test_names_of_bases_are_refused(workspace):
    store = Store.open(sqlite_url(workspace / "chiliad.db"))
    registry = Registry(store, workspace, reserved=lambda: frozenset({"smollm2"}))
    with pytest.raises(RegistryError, match="taken"), registry.write_version("smollm2", FACTS):
        pytest.fail("an expert got the name of a base")


def test_references_find_the_live_version_or_the_one_named(registry):
    first, second = add(registry, "tickets"), add(registry, "tickets", seed=1)
    with pytest.raises(ExpertNotFound, match=r"no live version.*promote tickets@N`, N of 1, 2"):
        registry.get("tickets")
    registry.promote("tickets", 1)
    assert registry.get("tickets") == first
    assert registry.get("tickets@2") == second
    with pytest.raises(ExpertNotFound, match="versions 1, 2"):
        registry.get("tickets@9")
    with pytest.raises(ExpertNotFound, match="Did you mean 'tickets'"):
        registry.get("tikets")
    with pytest.raises(ExpertNotFound, match="experts list"):
        registry.versions("weather")


def test_list_shows_every_expert_with_its_live_version(registry):
    add(registry, "b"), add(registry, "a"), add(registry, "a", seed=1)
    registry.promote("a", 2)
    assert [(e.name, e.live.number if e.live else None, e.numbers) for e in registry.experts()] == [
        ("a", 2, (1, 2)),
        ("b", None, (1,)),
    ]


def test_promotion_is_judged_by_the_comparison_on_record(registry):
    add(registry, "tickets"), add(registry, "tickets", seed=1)
    registry.promote("tickets", 1)
    with pytest.raises(PromotionRefused, match="never compared"):
        registry.promote("tickets", 2)
    registry.record_comparison("tickets", compared(2, 1, delta=-0.3, p_value=0.001))
    with pytest.raises(PromotionRefused, match="significantly worse"):
        registry.promote("tickets", 2)
    assert registry.get("tickets").number == 1
    better = compared(2, 1, delta=0.1, p_value=0.2)
    registry.record_comparison("tickets", better)
    step = registry.promote("tickets", 2)
    assert (step.forced, step.comparison) == (False, better)
    assert registry.get("tickets").number == 2
    assert registry.history("tickets")[-1] == step


def test_force_passes_the_gate_and_is_recorded(registry):
    add(registry, "tickets"), add(registry, "tickets", seed=1)
    registry.promote("tickets", 1)
    worse = compared(2, 1, delta=-0.3, p_value=0.001)
    registry.promote("tickets", 2, worse, force=True)
    assert registry.get("tickets").number == 2
    last = registry.history("tickets")[-1]
    assert (last.action, last.forced, last.comparison) == (Action.PROMOTE, True, worse)


def test_promoting_the_live_version_changes_nothing(registry):
    add(registry, "tickets")
    step = registry.promote("tickets", 1)
    assert registry.promote("tickets", 1) == step
    assert registry.history("tickets") == [step]


def test_rollback_goes_to_the_version_before(registry):
    for seed in range(3):
        number = add(registry, "tickets", seed=seed).number
        registry.promote("tickets", number, force=True)
    assert registry.rollback("tickets").version == 2
    assert registry.rollback("tickets").version == 1
    with pytest.raises(RegistryError, match="no earlier live version"):
        registry.rollback("tickets")
    assert registry.get("tickets").number == 1


def test_the_live_version_is_deleted_only_by_force(registry):
    add(registry, "tickets"), add(registry, "tickets", seed=1)
    registry.promote("tickets", 1)
    registry.promote("tickets", 2, force=True)
    with pytest.raises(RegistryError, match="is live"):
        registry.delete(ExpertRef("tickets"))
    assert registry.folder(ExpertRef("tickets", 2)).is_dir()
    registry.delete(ExpertRef("tickets", 2), force=True)
    assert not registry.folder(ExpertRef("tickets", 2)).exists()
    with pytest.raises(ExpertNotFound, match="no live version"):
        registry.get("tickets")
    assert registry.rollback("tickets").version == 1
    assert add(registry, "tickets").number == 3


def test_deleting_an_expert_takes_everything(registry, workspace):
    add(registry, "tickets"), add(registry, "orders")
    registry.promote("tickets", 1)
    registry.delete_expert("tickets")
    assert [e.name for e in registry.experts()] == ["orders"]
    assert [p.name for p in (workspace / "experts").iterdir()] == ["orders"]
    with pytest.raises(ExpertNotFound):
        registry.delete_expert("tickets")


def test_another_base_is_refused(registry):
    version = add(registry, "tickets")
    version.require_base("tiny", "f" * 64)
    with pytest.raises(WrongBase, match="Pull tiny again"):
        version.require_base("tiny", "e" * 64)


def listing(registry):
    return [(e, registry.versions(e.name), registry.history(e.name)) for e in registry.experts()]


def full_registry(registry, workspace):
    """Two experts, three moves of an alias, one dataset."""
    add(registry, "a"), add(registry, "a", seed=1), add(registry, "b")
    registry.promote("a", 1)
    registry.promote("a", 2, compared(2, 1, delta=0.1, p_value=0.04))
    registry.rollback("a")
    write_atomic(workspace / "datasets" / "abc" / "dataset.json", '{"rows": 3}')


def test_everything_comes_back_from_the_files(registry, workspace):
    full_registry(registry, workspace)
    before = listing(registry)
    for path in workspace.glob("chiliad.db*"):
        path.unlink()
    again = open_registry(workspace)
    assert listing(again) == before
    assert again.datasets() == {"abc": {"rows": 3}}
    assert add(again, "a").number == 3


def test_a_number_never_comes_back_even_without_the_database(registry, workspace):
    add(registry, "a"), add(registry, "a", seed=1)
    registry.delete(ExpertRef("a", 2))
    for path in workspace.glob("chiliad.db*"):
        path.unlink()
    assert add(open_registry(workspace), "a").number == 3


def test_rebuild_says_what_it_cannot_read_and_keeps_the_rest(registry, workspace):
    full_registry(registry, workspace)
    (workspace / "experts" / "a" / "2" / "expert.json").write_text("{")
    (workspace / "experts" / "b" / "1").rename(workspace / "experts" / "b" / "5")
    (workspace / "datasets" / "abc" / "dataset.json").write_text("[")
    unreadable = registry.rebuild()
    assert [u.path.relative_to(workspace).as_posix() for u in unreadable] == [
        "experts/a/2",
        "experts/b/5",
        "datasets/abc/dataset.json",
    ]
    assert [(e.name, e.numbers) for e in registry.experts()] == [("a", (1,))]
    assert registry.get("a").number == 1


def test_opening_repairs_what_a_killed_process_left_half_recorded(registry, workspace):
    add(registry, "a")
    registry.promote("a", 1)
    store = Store.open(sqlite_url(workspace / "chiliad.db"))
    store.remove_version("a", 1)
    store.put_alias("a", None, [])
    assert registry.experts() == []
    assert open_registry(workspace).get("a").number == 1


def test_opening_forgets_what_is_gone(registry, workspace):
    add(registry, "a"), add(registry, "b")
    (workspace / "experts" / "b").rename(workspace / "elsewhere")
    assert [e.name for e in open_registry(workspace).experts()] == ["a"]


def test_a_full_disk_leaves_the_live_version_serving(small_disk):
    registry = open_registry(small_disk)
    version = add(registry, "tickets")
    registry.promote("tickets", 1)
    with pytest.raises(StoreError, match="disk is full"), registry.write_version("tickets", FACTS) as draft:
        (draft.folder / "card.html").write_bytes(b"x" * 2_000_000)
    assert registry.versions("tickets") == [version]
    assert registry.get("tickets") == version
    assert sorted(p.name for p in (small_disk / "experts" / "tickets").iterdir()) == [".lock", "1", "alias.json"]
