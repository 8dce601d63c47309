"""Several processes on one workspace and either kind of database: trainers that finish together, readers, and kill -9."""

import subprocess
import sys
from contextlib import closing

import pytest

from chiliad.errors import StoreError
from chiliad.registry import Registry
from chiliad.store import Store
from chiliad.store.files import orphaned_stages
from tests.registry.conftest import FACTS, Clock, add
from tests.registry.tiny import write_adapter

OPEN = """
import shutil, sys
from pathlib import Path
from chiliad.registry import ExpertFacts, Registry
from chiliad.store import Store
workspace = Path(sys.argv[1])
registry = Registry(Store.open(sys.argv[2]), workspace)
facts = ExpertFacts(base_id="tiny", base_fingerprint="f" * 64, kind="text")
def fill(folder):
    for path in (workspace / "experts" / "tickets" / "1").glob("adapter*"):
        shutil.copy(path, folder)
"""


@pytest.fixture
def store(database_url):
    opened = Store.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def registry(store, workspace):
    return Registry(store, workspace, clock=Clock())


@pytest.fixture
def start(workspace, database_url):
    def start(code):
        command = [sys.executable, "-c", OPEN + code, str(workspace), database_url]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)

    return start


def test_trainers_that_finish_together_get_different_versions(registry, workspace, start):
    add(registry, "tickets")
    code = """
for _ in range(4):
    with registry.write_version("tickets", facts) as draft:
        fill(draft.folder)
"""
    trainers = [start(code) for _ in range(2)]
    for trainer in trainers:
        trainer.communicate(timeout=300)
    assert [trainer.returncode for trainer in trainers] == [0, 0]
    assert [version.number for version in registry.versions("tickets")] == list(range(1, 10))


def test_a_promotion_is_seen_by_a_process_that_was_open_before(registry, workspace, start):
    add(registry, "tickets")
    process = start('registry.promote("tickets", 1)')
    process.communicate(timeout=300)
    assert process.returncode == 0
    assert registry.get("tickets").number == 1


def test_a_writer_killed_in_the_middle_is_never_listed(registry, workspace, start):
    version = add(registry, "tickets")
    registry.promote("tickets", 1)
    code = """
with registry.write_version("tickets", facts) as draft:
    fill(draft.folder)
    (draft.folder / "expert.json").write_text('{"half": ')
    print("writing", flush=True)
    sys.stdin.read()
"""
    process = start(code)
    assert process.stdout.readline() == "writing\n"
    process.kill()
    process.communicate(timeout=300)
    assert registry.versions("tickets") == [version]
    assert registry.rebuild() == ()
    assert registry.versions("tickets") == [version]
    assert registry.get("tickets") == version
    assert len(orphaned_stages(workspace / "experts" / "tickets")) == 1
    assert add(registry, "tickets", seed=1).number > 1


def test_an_expert_deleted_under_its_writer_ends_the_writer_with_one_clear_error(registry, workspace, database_url):
    add(registry, "tickets")

    def write():
        with registry.write_version("tickets", FACTS) as draft:
            write_adapter(draft.folder)
            with closing(Store.open(database_url)) as other:
                Registry(other, workspace).delete_expert("tickets")

    with pytest.raises(StoreError, match="was removed while"):
        write()
    assert registry.experts() == []
    assert not (workspace / "experts" / "tickets").exists()
    assert add(registry, "tickets").number > 1


def test_deleting_an_expert_twice_at_once_deletes_it_and_says_so_to_the_other(registry, workspace, start):
    """Each delete meets the other at any of its steps; nobody sees a raw error."""
    code = """
from chiliad.errors import ExpertNotFound, StoreError
for line in sys.stdin:
    try:
        if line == "delete\\n":
            registry.delete_expert("tickets")
        else:
            with registry.write_version("tickets", facts) as draft:
                shutil.copytree(workspace / "adapter", draft.folder, dirs_exist_ok=True)
        print("done", flush=True)
    except (ExpertNotFound, StoreError) as error:
        print(type(error).__name__, flush=True)
"""
    (workspace / "adapter").mkdir(parents=True)
    write_adapter(workspace / "adapter")
    others = [start(code) for _ in range(3)]
    for _ in range(20):
        add(registry, "tickets")
        for process, order in zip(others, ("delete\n", "delete\n", "write\n"), strict=True):
            process.stdin.write(order)
            process.stdin.flush()
        answers = [process.stdout.readline().strip() for process in others]
        assert answers[2] in ("done", "StoreError")
        assert "done" in answers[:2]
        assert set(answers[:2]) <= {"done", "ExpertNotFound", "StoreError"}
    for process in others:
        process.communicate(timeout=60)
    assert registry.rebuild() == ()
    assert {path.name for path in (workspace / "experts").iterdir()} <= {"tickets"}
