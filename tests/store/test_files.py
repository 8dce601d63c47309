"""Whole or absent: files and folders under exceptions, kill -9, two writers and a full disk."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chiliad.errors import StoreError, VersionConflict
from chiliad.store.files import (
    explain_disk_errors,
    folder_lock,
    orphaned_stages,
    remove_folder,
    remove_stage,
    sha256_file,
    staged_folder,
    write_atomic,
)


def python(code: str, *args: object) -> "subprocess.Popen[str]":
    """Start another process that runs `code` with `args` in sys.argv[1:]."""
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def write_version(target: Path, *, then: BaseException) -> None:
    """Fill a staged folder and fail at its end."""
    with staged_folder(target) as stage:
        (stage / "a.txt").write_text("a")
        raise then


def test_write_atomic_creates_parents_and_replaces(tmp_path):
    path = tmp_path / "a" / "b.json"
    write_atomic(path, "one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["b.json"]


def test_write_atomic_leaves_the_old_content_when_the_disk_is_full(tmp_path):
    path = tmp_path / "facts.json"
    write_atomic(path, "old")
    code = """
import resource, sys
from pathlib import Path
from chiliad.errors import StoreError
from chiliad.store.files import write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_atomic(Path(sys.argv[1]), b"x" * 100_000)
except StoreError as error:
    print(error.cause)
"""
    process = python(code, path)
    out, _ = process.communicate(timeout=60)
    assert "disk is full" in out
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["facts.json"]


def test_staged_folder_appears_whole(tmp_path):
    target = tmp_path / "experts" / "1"
    with staged_folder(target) as stage:
        (stage / "sub").mkdir()
        (stage / "sub" / "a.txt").write_text("a")
        assert not target.exists()
    assert (target / "sub" / "a.txt").read_text() == "a"
    assert [p.name for p in target.parent.iterdir()] == ["1"]


def test_files_and_folders_can_be_staged_inside_a_stage(tmp_path):
    with staged_folder(tmp_path / "1") as stage:
        write_atomic(stage / "a.json", "a")
        with staged_folder(stage / "inner") as inner:
            write_atomic(inner / "b.json", "b")
    assert (tmp_path / "1" / "a.json").read_text() == "a"
    assert (tmp_path / "1" / "inner" / "b.json").read_text() == "b"


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_staged_folder_leaves_nothing_after_an_exception(tmp_path, error):
    with pytest.raises(type(error)):
        write_version(tmp_path / "1", then=error)
    assert list(tmp_path.iterdir()) == []


def test_staged_folder_refuses_a_target_that_exists(tmp_path):
    (tmp_path / "1").mkdir()
    with pytest.raises(VersionConflict), staged_folder(tmp_path / "1"):
        pytest.fail("the block ran although the target exists")


def test_of_two_writers_of_one_target_the_first_wins(tmp_path):
    target = tmp_path / "1"
    fast = staged_folder(target)
    slow = staged_folder(target)
    (fast.__enter__() / "who").write_text("fast")
    (slow.__enter__() / "who").write_text("slow")
    fast.__exit__(None, None, None)
    with pytest.raises(VersionConflict):
        slow.__exit__(None, None, None)
    assert (target / "who").read_text() == "fast"
    assert [p.name for p in tmp_path.iterdir()] == ["1"]


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("IoError: No space left on device (os error 28)")]
)
def test_a_full_disk_inside_a_stage_is_explained(tmp_path, error):
    with pytest.raises(StoreError, match=r"disk is full.*chiliad gc"), staged_folder(tmp_path / "1"):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_missing_rights_are_explained(tmp_path):
    with pytest.raises(StoreError, match="write access"), explain_disk_errors(tmp_path):
        raise PermissionError(13, "Permission denied")


def test_kill_in_the_middle_leaves_only_an_orphan(tmp_path):
    code = """
import sys
from pathlib import Path
from chiliad.store.files import staged_folder
with staged_folder(Path(sys.argv[1])) as stage:
    (stage / "adapter.bin").write_bytes(b"half")
    print("writing", flush=True)
    sys.stdin.read()
"""
    process = python(code, tmp_path / "1")
    assert process.stdout.readline() == "writing\n"
    assert orphaned_stages(tmp_path) == [], "a stage whose writer lives is not an orphan"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not (tmp_path / "1").exists()
    orphans = orphaned_stages(tmp_path)
    assert [p.name.startswith(".staging-1-") for p in orphans] == [True]
    remove_stage(orphans[0])
    assert list(tmp_path.iterdir()) == []


def test_folder_lock_keeps_other_processes_out_until_its_holder_dies(tmp_path):
    code = """
import sys
from pathlib import Path
from chiliad.store.files import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
    process = python(code, tmp_path)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(StoreError, match="in use"), folder_lock(tmp_path, wait=False):
        pytest.fail("two processes hold one lock")
    process.kill()
    process.communicate(timeout=60)
    with folder_lock(tmp_path, wait=False):
        pass


def test_remove_folder_takes_everything(tmp_path):
    with staged_folder(tmp_path / "1") as stage:
        (stage / "a").write_text("a")
    remove_folder(tmp_path / "1")
    assert list(tmp_path.iterdir()) == []


def test_files_follow_the_umask_so_that_a_team_can_share_a_workspace(tmp_path):
    before = os.umask(0o002)
    try:
        write_atomic(tmp_path / "a", "a")
        with staged_folder(tmp_path / "1"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o664
    assert (tmp_path / "1").stat().st_mode & 0o777 == 0o775


def test_sha256_file(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert sha256_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_real_full_disk_leaves_nothing_behind(small_disk):
    with pytest.raises(StoreError, match="disk is full"):
        write_atomic(small_disk / "file", b"x" * 2_000_000)
    with pytest.raises(StoreError, match="disk is full"), staged_folder(small_disk / "1") as stage:
        (stage / "file").write_bytes(b"x" * 2_000_000)
    assert list(small_disk.iterdir()) == []


def test_a_folder_whose_place_is_removed_while_it_is_written_is_told_as_that(tmp_path):
    target = tmp_path / "tickets" / "3"
    with pytest.raises(StoreError, match=r"tickets was removed while 3 was being written"), staged_folder(target):
        remove_folder(target.parent)
    assert list(tmp_path.iterdir()) == []


def test_removing_a_folder_that_is_gone_is_no_error(tmp_path):
    remove_folder(tmp_path / "gone")
    assert orphaned_stages(tmp_path / "gone") == []


WAITING = """
import sys
from pathlib import Path
from chiliad.errors import StoreError
from chiliad.store.files import folder_lock
path, create = Path(sys.argv[1]), sys.argv[2] == "create"
print("ready", flush=True)
try:
    with folder_lock(path, create=create):
        print("held", path.is_dir(), flush=True)
        sys.stdin.readline()
except StoreError as error:
    print(error.cause)
"""


@pytest.mark.parametrize(("how", "told"), [("keep", "is not there"), ("create", "held True")])
def test_who_waits_for_the_lock_of_a_folder_that_is_removed_does_not_get_the_dead_lock(tmp_path, how, told):
    folder = tmp_path / "tickets"
    with folder_lock(folder):
        waiting = python(WAITING, folder, how)
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "ready\n"
        remove_folder(folder)
    assert told in waiting.stdout.readline()
    if how == "create":
        with pytest.raises(StoreError, match="in use"), folder_lock(folder, wait=False):
            pass
    waiting.communicate("\n", timeout=60)
    assert folder.exists() == (how == "create")
