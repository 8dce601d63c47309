"""Several processes on one workspace: trainers that finish together, a server that reads, and kill -9."""

import subprocess
import sys

from chiliad.store.files import orphaned_stages
from tests.registry.conftest import add

OPEN = """
import shutil, sys
from pathlib import Path
from chiliad.registry import ExpertFacts, Registry
from chiliad.store import Store, sqlite_url
workspace = Path(sys.argv[1])
registry = Registry(Store.open(sqlite_url(workspace / "chiliad.db")), workspace)
facts = ExpertFacts(base_id="tiny", base_fingerprint="f" * 64, kind="text")
def fill(folder):
    for path in (workspace / "experts" / "tickets" / "1").glob("adapter*"):
        shutil.copy(path, folder)
"""


def start(workspace, code):
    return subprocess.Popen(
        [sys.executable, "-c", OPEN + code, str(workspace)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )


def test_trainers_that_finish_together_get_different_versions(registry, workspace):
    add(registry, "tickets")
    code = """
for _ in range(4):
    with registry.write_version("tickets", facts) as draft:
        fill(draft.folder)
"""
    trainers = [start(workspace, code) for _ in range(2)]
    for trainer in trainers:
        trainer.communicate(timeout=300)
    assert [trainer.returncode for trainer in trainers] == [0, 0]
    assert [version.number for version in registry.versions("tickets")] == list(range(1, 10))


def test_a_promotion_is_seen_by_a_process_that_was_open_before(registry, workspace):
    add(registry, "tickets")
    process = start(workspace, 'registry.promote("tickets", 1)')
    process.communicate(timeout=300)
    assert process.returncode == 0
    assert registry.get("tickets").number == 1


def test_a_writer_killed_in_the_middle_is_never_listed(registry, workspace):
    version = add(registry, "tickets")
    registry.promote("tickets", 1)
    code = """
with registry.write_version("tickets", facts) as draft:
    fill(draft.folder)
    (draft.folder / "expert.json").write_text('{"half": ')
    print("writing", flush=True)
    sys.stdin.read()
"""
    process = start(workspace, code)
    assert process.stdout.readline() == "writing\n"
    process.kill()
    process.communicate(timeout=300)
    assert registry.versions("tickets") == [version]
    assert registry.rebuild() == ()
    assert registry.versions("tickets") == [version]
    assert registry.get("tickets") == version
    assert len(orphaned_stages(workspace / "experts" / "tickets")) == 1
    assert add(registry, "tickets", seed=1).number > 1
