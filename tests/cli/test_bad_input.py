"""Whatever is given or happens: one clear error, a failing exit, nothing half-written, and what was live still answers."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from safetensors import safe_open

from chiliad.base import BaseStore
from chiliad.store.files import orphaned_stages
from chiliad.workspace import Workspace
from tests.base.tiny import write_folder, write_gguf
from tests.cli.conftest import FAST, contents, process
from tests.small_disk import small_disk  # noqa: F401 - a fixture
from tests.tiny import ROWS, as_in_a_terminal, environment, write_table

GOOD_ROWS = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)


@pytest.fixture
def safe(live, chiliad):
    """Afterwards the workspace holds what it held, byte for byte, and its live version answers."""
    before = contents(live)
    answer = chiliad("ask", "tickets", "where is box 3").out
    yield live
    assert contents(live) == before
    assert not orphaned_stages(live / "experts" / "tickets")
    assert chiliad("ask", "tickets", "where is box 3").out == answer


TABLES = {
    "wrong_columns.csv": ("a,b,c\n" + "".join(f"x{n},y{n},z{n}\n" for n in range(50)), "is not clear"),
    "encoding.csv": (GOOD_ROWS.encode() + b"caf\xe9,status\n", r"not UTF-8: byte 0xE9 .* line 74"),
    "empty.csv": ("", "no rows"),
    "header.csv": ("text,label\n", "no rows"),
    "one_class.csv": ("text,label\n" + "".join(f"text {n},same\n" for n in range(50)), "the same answer"),
    "ten_rows.csv": ("text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(10)), "There are 10"),
    "long_row.csv": (GOOD_ROWS + "x" * 100_000_000 + ",status\n", "line 74 is longer than"),
    "long_row.jsonl": ('{"text": "' + "x" * 100_000_000 + '", "label": "a"}\n', "line 1: longer than"),
    "pickle.csv": (b"\x80\x04\x95" + bytes(50), "pickle, which Chiliad never opens"),
    "rows.pkl": (b"\x80\x04\x95" + bytes(50), "no ending that Chiliad knows"),
    "workbook.xlsx": (b"PK\x03\x04" + bytes(50), "workbook.xlsx"),
    "columns.parquet": (b"PAR1" + bytes(50), "columns.parquet"),
    "lines.jsonl": ('{"text": "a", "label": \n', "line 1"),
    "packed.csv.gz": (b"\x1f\x8b" + bytes(20), "gzip"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_cannot_be_learned_from(chiliad, safe, tmp_path, name):
    content, cause = TABLES[name]
    data = tmp_path / name
    data.write_bytes(content.encode() if isinstance(content, str) else content)
    for command in (("train", "tickets", *FAST, "--data"), ("data", "check")):
        chiliad(*command, data).refused(cause)


def test_a_table_that_is_not_there_or_no_file(chiliad, safe, tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for command in (("train", "tickets", *FAST, "--data"), ("correct", "tickets", "--data"), ("data", "check")):
        chiliad(*command, tmp_path / "missing.csv").refused("No such file")
        chiliad(*command, tmp_path / "folder.csv").refused("Is a directory")
    chiliad("train", "tickets", *FAST, "--data", tmp_path).refused("no ending|directory")


def test_a_base_that_is_not_there(chiliad, safe, table):
    chiliad("train", "tickets", "--data", table, "--base", "nobody").refused("nobody is not on this machine")
    chiliad("base", "show", "nobody").refused("not on this machine")
    chiliad("base", "remove", "../tiny").refused("cannot be the name")


def test_training_that_diverges(chiliad, safe, table):
    (dataset,) = (safe / "datasets").iterdir()
    before = contents(dataset)
    chiliad("train", "tickets", "--data", table, *FAST, "--learning-rate", "1e30").refused("diverged")
    shutil.rmtree(safe / "runs")
    assert list((safe / "datasets").iterdir()) == [dataset], "the same rows are the same dataset"
    assert set(before) >= {"dataset.json", "examples.jsonl"}
    assert contents(dataset) == before


@pytest.mark.parametrize("content", [b"", b"GGUF", b"\x80\x04\x95pickle", "half", "header"])
def test_a_gguf_file_that_is_not_whole(chiliad, settings, tmp_path, content):
    whole = write_gguf(tmp_path / "whole.gguf").read_bytes()
    cut = {"half": whole[: len(whole) // 2], "header": whole[:100]}
    path = tmp_path / "broken.gguf"
    path.write_bytes(cut[content] if isinstance(content, str) else content)
    chiliad("base", "pull", path).refused("not a GGUF file|cut short or damaged")
    assert list(BaseStore(settings.cache_dir).ids()) == ["tiny"]
    assert not orphaned_stages(settings.cache_dir / "bases")


@pytest.mark.parametrize("damage", ["cut", "empty", "pickle"])
def test_a_model_folder_that_is_not_whole(chiliad, settings, tmp_path, damage):
    weights = write_folder(tmp_path / "model") / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    if damage == "pickle":
        weights.rename(weights.with_name("pytorch_model.bin"))
    chiliad("base", "pull", weights.parent).refused("pickled" if damage == "pickle" else "safetensors")
    assert list(BaseStore(settings.cache_dir).ids()) == ["tiny"]


def test_a_base_damaged_in_the_cache_is_not_served(chiliad, live, settings):
    weights = settings.cache_dir / "bases" / "tiny" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    chiliad("ask", "tickets", "where is box 3").refused("not the ones that were pulled")
    weights.write_bytes(whole)
    assert chiliad("ask", "tickets", "where is box 3").code == 0


def test_an_expert_on_another_base_is_refused(chiliad, live, settings, tmp_path):
    chiliad("base", "remove", "tiny")
    chiliad("ask", "tickets", "where is box 3").refused("tiny is not on this machine")
    BaseStore(settings.cache_dir).pull(str(write_folder(tmp_path / "other", seed=5)), name="tiny")
    chiliad("ask", "tickets", "where is box 3").refused("tickets@1 was made for tiny")


@pytest.fixture
def adapter(live, tmp_path):
    """A PEFT adapter for the base `tiny`, without anything of Chiliad's beside it."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(live / "experts" / "tickets" / "1" / name, folder)
    return folder


def test_an_adapter_that_is_whole_comes_in(chiliad, live, adapter):
    assert chiliad("experts", "import", "taken", adapter, "--base", "tiny").code == 0
    assert chiliad("ask", "taken@1", "where is box 3").code == 0


@pytest.mark.parametrize("damage", ["cut", "empty", "pickle", "config", "missing", "text"])
def test_an_adapter_that_is_not_whole(chiliad, safe, adapter, damage):
    weights, config = adapter / "adapter_model.safetensors", adapter / "adapter_config.json"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "empty":
        weights.write_bytes(b"")
    elif damage == "pickle":
        weights.rename(adapter / "adapter_model.bin")
    elif damage == "config":
        config.write_text("{")
    elif damage == "missing":
        shutil.rmtree(adapter)
    else:
        adapter = weights
    cause = {"pickle": "pickled", "config": "not JSON"}.get(damage, "adapter")
    chiliad("experts", "import", "tickets", adapter, "--base", "tiny").refused(cause)


def test_an_adapter_for_another_base(chiliad, safe, adapter, settings, tmp_path):
    BaseStore(settings.cache_dir).pull(str(write_folder(tmp_path / "other", seed=5)), name="other")
    chiliad("experts", "import", "tickets", adapter, "--base", "other").refused("base")
    chiliad("experts", "import", "tickets", adapter).refused("not on this machine")


def test_a_list_of_answers_that_cannot_be_read(chiliad, safe, adapter, tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    for name, cause in (("missing.txt", "No such file"), ("latin.txt", "not UTF-8")):
        command = ("experts", "import", "tickets", adapter, "--base", "tiny", "--choices", tmp_path / name)
        chiliad(*command).refused(cause)


def test_a_version_whose_files_were_changed_is_not_served(chiliad, live):
    weights = live / "experts" / "tickets" / "1" / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    chiliad("ask", "tickets", "where is box 3").refused("changed since")
    weights.unlink()
    chiliad("ask", "tickets", "where is box 3").refused("missing")


def test_a_disk_that_is_full(chiliad, live, small_disk, table):  # noqa: F811
    folder = small_disk / "ws"
    shutil.copytree(live, folder)
    before = contents(folder)
    (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free - 8192))
    chiliad("train", "tickets", "--data", table, "-w", folder, *FAST, "--seed", "7").refused("disk is full|disk failed")
    assert {name: digest for name, digest in contents(folder).items() if not name.startswith("runs/")} == before
    (small_disk / "filler").unlink()
    assert chiliad("ask", "tickets", "where is box 3", "-w", folder).code == 0
    assert chiliad("train", "tickets", "--data", table, "-w", folder, *FAST, "--seed", "7").code == 0


def test_a_workspace_where_none_can_be(chiliad, tmp_path, table):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "ws"):
        for command in (("train", "a", "--data", table, *FAST), ("experts", "import", "a", tmp_path, "--base", "tiny")):
            chiliad(*command, "-w", folder).refused("cannot be written")
        for command in (("experts", "list"), ("ask", "a", "b"), ("gc",)):
            chiliad(*command, "-w", folder).refused("no workspace")


WITHOUT_RIGHTS = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
"""even the superuser then needs rights to files"""


@pytest.fixture
def without_rights():
    """What to put before a command so that file rights count for it."""
    if os.geteuid():
        return ()
    if shutil.which("setpriv") is None or subprocess.run([*WITHOUT_RIGHTS, "true"], check=False).returncode:
        pytest.skip("needs setpriv to take a right away from the superuser")
    return WITHOUT_RIGHTS


def test_files_that_one_has_no_right_to(safe, settings, table, tmp_path, without_rights):
    options = {"before": without_rights, "env": environment(settings)}
    table.chmod(0)
    closed_file = process("data", "check", table, **options)
    closed_file.refused("is not readable", code=2)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    open_table = write_table(tmp_path / "open.csv")
    process("train", "a", "--data", open_table, *FAST, "-w", closed / "ws", **options).refused("cannot be written")
    process("experts", "list", "-w", closed / "ws", **options).refused("no workspace")
    closed.chmod(0)
    process("experts", "list", "-w", closed / "ws", **options).refused("Permission denied")


SLOW = ("--base", "tiny", "--rank", "2", "--no-baselines", "--epochs", "60")


@contextmanager
def in_a_process(settings, table):
    """A slow training, which does not outlive its test."""
    with subprocess.Popen(
        [sys.executable, "-m", "chiliad", "train", "tickets", "--data", str(table), *SLOW],
        env=environment(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=as_in_a_terminal,
    ) as training:  # fmt: skip
        try:
            yield training
        finally:
            training.kill()


def halted(training, workspace):
    """Wait until a training has its first checkpoint, and stop the clock for it there."""
    while not list(workspace.glob("runs/*/checkpoint.safetensors")) and training.poll() is None:
        time.sleep(0.01)
    training.send_signal(signal.SIGSTOP)
    assert training.poll() is None, training.communicate()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_training_that_is_stopped(chiliad, live, settings, tmp_path, stop):
    rows = write_table(tmp_path / "more.csv", [*ROWS, *((f"where is bag {n}", "status") for n in range(9))])
    experts = contents(live / "experts")
    with in_a_process(settings, rows) as training:
        halted(training, live)
        assert chiliad("ask", "tickets", "where is box 3").code == 0  # in the middle of a training
        training.send_signal(stop)
        training.send_signal(signal.SIGCONT)
        _, told = training.communicate()
    assert "Traceback" not in told
    if stop is signal.SIGINT:
        assert training.returncode == 130
        assert told.rstrip().endswith("the same command continues a training.")
    else:
        assert training.returncode == -signal.SIGKILL
    assert contents(live / "experts") == experts
    with safe_open(next(live.glob("runs/*/checkpoint.safetensors")), "pt") as checkpoint:
        assert checkpoint.keys()
    assert chiliad("ask", "tickets", "where is box 3").code == 0


def test_two_writers_of_one_training(chiliad, live, settings, table):
    """The second, with the same settings, is told that the first is at it, and does it once the first is dead."""
    again = "train", "tickets", "--data", table, *SLOW
    with in_a_process(settings, table) as first:
        halted(first, live)
        chiliad(*again).refused("in use by another process")
        assert chiliad("train", "tickets", "--data", table, *FAST).code == 0  # another training
    assert chiliad(*again).code == 0


def test_two_writers_of_one_version(live, settings):
    """Both reserve their number before either has written: neither waits, neither is lost."""
    with Workspace.open(settings) as one, Workspace.open(settings) as other:
        facts = one.registry.get("tickets@1").facts
        files = live / "experts" / "tickets" / "1"
        with one.registry.write_version("tickets", facts) as a, other.registry.write_version("tickets", facts) as b:
            for draft in (a, b):
                shutil.copytree(files, draft.folder, dirs_exist_ok=True)
        assert {a.ref.number, b.ref.number} == {2, 3}
        assert [version.number for version in one.registry.versions("tickets")] == [1, 2, 3]
