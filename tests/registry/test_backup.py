"""Backup and restore: from either kind of database into either, while others write; harmful archives are refused."""

import hashlib
import json
import sqlite3
import stat
import threading
import zipfile
from contextlib import closing
from datetime import UTC, datetime

import pytest

from chiliad.config import CopilotSettings, Settings
from chiliad.errors import BrokenBackup, StoreError
from chiliad.registry import Registry
from chiliad.registry.backup import back_up, restore
from chiliad.store import Databases, Purpose, Store, Uploads
from chiliad.store.archive import ArchiveWriter
from tests.cli.conftest import contents
from tests.registry.conftest import Clock, add, compared

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def registry(workspace, database_url):
    opened = Store.open(database_url)
    yield Registry(opened, workspace, clock=Clock())
    opened.close()


@pytest.fixture
def filled(registry, workspace):
    for name in ("tickets", "orders"):
        for seed in range(3):
            add(registry, name, seed=seed)
    registry.promote("tickets", 1)
    registry.promote("tickets", 2, compared(2, 1, delta=0.1, p_value=0.01))
    registry.record_comparison("tickets", compared(3, 2, delta=-0.1, p_value=0.5))
    (registry.folder(registry.get("tickets").ref) / "card.md").write_text("# worth it")
    dataset = workspace / "datasets" / "abc"
    dataset.mkdir(parents=True)
    (dataset / "dataset.json").write_text('{"rows": 3}')
    (workspace / "reports" / "desk").mkdir(parents=True)
    (workspace / "reports" / "desk" / "report.html").write_text("<h1>Experts</h1>")
    Uploads(registry.database, workspace / "files").add("rows.jsonl", Purpose.BATCH, iter([b"{}"]), file_id="file-1")
    with closing(sqlite3.connect(":memory:")) as shop:
        shop.execute("create table orders (id)")
        whole = shop.serialize()
    Databases(workspace / "databases", CopilotSettings()).add("shop.db", [whole], bytes_max=len(whole))
    registry.reconcile()
    return registry


@pytest.fixture(params=["to sqlite", "to postgresql"])
def target(request, tmp_path):
    url = request.getfixturevalue("postgres").new_database() if request.param == "to postgresql" else None
    return Settings.load(environ={}, workspace=tmp_path / "again", database_url=url)


@pytest.fixture
def to_sqlite(tmp_path):
    return Settings.load(environ={}, workspace=tmp_path / "again")


def state(registry):
    names = [expert.name for expert in registry.experts()]
    return {
        "experts": registry.experts(),
        "versions": {name: registry.versions(name) for name in names},
        "history": {name: registry.history(name) for name in names},
        "comparison": registry.comparison("tickets", 3, 2),
        "datasets": registry.datasets(),
    }


def test_everything_comes_back_on_either_database(filled, workspace, target, tmp_path):
    file = tmp_path / "backup.zip"
    summary = back_up(filled, file, now=NOW)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600, "private data"
    assert restore(file, target) == summary
    assert contents(target.workspace) == contents(workspace)
    store = Store.of(target)
    again = Registry(store, target.workspace, clock=Clock())
    assert again.unreadable == ()
    assert state(again) == state(filled)
    assert Uploads(again.database, target.workspace / "files").get("file-1").name == "rows.jsonl"
    assert Databases(target.workspace / "databases", CopilotSettings()).open("shop.db").tables()[0].name == "orders"
    assert add(again, "tickets").number == 4
    store.close()


def test_numbers_that_were_used_do_not_come_back_after_a_restore(filled, target, tmp_path):
    filled.delete(filled.versions("orders")[-1].ref)
    filled.delete_expert("orders")
    back_up(filled, tmp_path / "b", now=NOW)
    restore(tmp_path / "b", target)
    store = Store.of(target)
    assert store.reserve_version("orders") == 4
    store.close()


def test_a_backup_taken_while_others_write_is_whole(filled, workspace, to_sqlite, tmp_path):
    stop = threading.Event()

    def work():
        while not stop.is_set():
            version = add(filled, "tickets")
            filled.promote("tickets", version.number, force=True)
            filled.delete(filled.versions("tickets")[0].ref)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for number in range(3):
            back_up(filled, tmp_path / f"{number}.zip", now=NOW)
    finally:
        stop.set()
        worker.join()
    for number in range(3):
        settings = Settings.load(environ={}, workspace=tmp_path / f"again{number}")
        restore(tmp_path / f"{number}.zip", settings)
        store = Store.of(settings)
        again = Registry(store, settings.workspace)
        assert again.unreadable == ()
        assert again.get("tickets").number == again.history("tickets")[-1].version
        store.close()


def test_an_expert_that_is_deleted_meanwhile_is_left_out_and_stays_away(filled, tmp_path, monkeypatch):
    add = ArchiveWriter.add_file

    def meanwhile(archive, name, path):
        if name.startswith("experts/orders/") and any(expert.name == "tickets" for expert in filled.experts()):
            filled.delete_expert("tickets")
        add(archive, name, path)

    monkeypatch.setattr(ArchiveWriter, "add_file", meanwhile)
    assert back_up(filled, tmp_path / "b", now=NOW).experts == 1
    assert not (filled.experts_root / "tickets").exists()


def test_nothing_is_overwritten(filled, workspace, target, tmp_path):
    file = tmp_path / "backup.zip"
    back_up(filled, file, now=NOW)
    before = file.read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        back_up(filled, file, now=NOW)
    assert file.read_bytes() == before
    target.workspace.mkdir()
    restore(file, target)
    with pytest.raises(StoreError, match="exists already"):
        restore(file, target)


def test_a_database_with_rows_is_left_alone(filled, database_url, tmp_path):
    back_up(filled, tmp_path / "b", now=NOW)
    before = state(filled)
    settings = Settings.load(environ={}, workspace=tmp_path / "again", database_url=database_url)
    with pytest.raises(StoreError, match="holds a workspace already"):
        restore(tmp_path / "b", settings)
    assert state(filled) == before
    assert not settings.workspace.exists()


def test_a_database_that_was_opened_but_never_used_may_be_filled(filled, target, tmp_path):
    back_up(filled, tmp_path / "b", now=NOW)
    if target.database_url:
        Store.of(target).close()
    restore(tmp_path / "b", target)


def test_a_full_disk_leaves_nothing(filled, small_disk, tmp_path):
    (filled.folder(filled.get("tickets").ref) / "big.bin").write_bytes(b"x" * (4 << 20))
    back_up(filled, tmp_path / "b", now=NOW)
    with pytest.raises(StoreError, match="disk is full"):
        restore(tmp_path / "b", Settings.load(environ={}, workspace=small_disk / "ws"))
    assert list(small_disk.iterdir()) == []


class Forged:
    """An archive that says of itself what an attacker wants it to say."""

    def __init__(self, path, source):
        self.path = path
        with zipfile.ZipFile(source) as archive:
            self.members = {info.filename: archive.read(info) for info in archive.infolist()}
        self.manifest = json.loads(self.members.pop("manifest.json"))
        self.infos = {}

    def add(self, name, content):
        self.members[name] = content
        self.manifest["members"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def write(self):
        with zipfile.ZipFile(self.path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self.members.items():
                info = zipfile.ZipInfo(name)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = self.infos.get(name, 0) << 16
                archive.writestr(info, content)
            archive.writestr("manifest.json", json.dumps(self.manifest))
        return self.path


def elsewhere(archive, name):
    archive.add(name, b"gotcha")


def link(archive):
    archive.add("experts/tickets/9/adapter_model.safetensors", b"/etc/passwd")
    archive.infos["experts/tickets/9/adapter_model.safetensors"] = stat.S_IFLNK | 0o777


def bomb(archive):
    archive.add("datasets/abc/examples.jsonl", bytes(96 << 20))


def understated(archive):
    archive.add("datasets/abc/examples.jsonl", bytes(1 << 20))
    archive.manifest["members"]["datasets/abc/examples.jsonl"]["bytes"] = 10


def changed(archive):
    name = next(name for name in archive.members if name.endswith("expert.json"))
    archive.members[name] = archive.members[name].replace(b"tiny", b"tine")


def unlisted(archive):
    archive.members["experts/tickets/9/extra"] = b"extra"


def missing(archive):
    archive.members.pop("database/experts.jsonl")


def strange_rows(archive):
    archive.add("database/experts.jsonl", b'{"nobody": 1}\n')


def no_rows(archive):
    archive.add("database/experts.jsonl", b"[1, 2]\nhello\n")


def strange_table(archive):
    archive.add("database/sqlite_master.jsonl", b'{"name": 1}\n')


def newer(archive):
    archive.manifest["schema"] = 99


def other_format(archive):
    archive.manifest["format"] = 2


def no_manifest(archive):
    archive.manifest = [1, 2]


HARM = {
    "../outside": lambda archive: elsewhere(archive, "../outside"),
    "deep ..": lambda archive: elsewhere(archive, "experts/a/../../../outside"),
    "absolute": lambda archive: elsewhere(archive, "/tmp/outside"),
    "backslash": lambda archive: elsewhere(archive, "experts\\..\\outside"),
    "other folder": lambda archive: elsewhere(archive, "chiliad.db"),
    "dot": lambda archive: elsewhere(archive, "experts/./x"),
    "control": lambda archive: elsewhere(archive, "experts/a\n/x"),
    **{one.__name__: one for one in (link, bomb, understated, changed, unlisted, missing, strange_rows, no_rows)},
    **{one.__name__: one for one in (strange_table, newer, other_format, no_manifest)},
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM.keys())
def test_what_is_not_a_harmless_backup_is_refused_and_leaves_nothing(filled, to_sqlite, tmp_path, harm):
    back_up(filled, tmp_path / "b", now=NOW)
    forged = Forged(tmp_path / "forged", tmp_path / "b")
    harm(forged)
    forged.write()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StoreError) as refused:
        restore(forged.path, to_sqlite)
    assert isinstance(refused.value, BrokenBackup) or harm is newer
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_file_that_was_cut_short_is_refused(filled, to_sqlite, tmp_path, share):
    back_up(filled, tmp_path / "b", now=NOW)
    whole = (tmp_path / "b").read_bytes()
    (tmp_path / "b").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BrokenBackup, match="not a whole backup"):
        restore(tmp_path / "b", to_sqlite)
    assert not to_sqlite.workspace.exists()


def test_no_flipped_byte_is_believed(filled, to_sqlite, tmp_path):
    back_up(filled, tmp_path / "b", now=NOW)
    whole = bytearray((tmp_path / "b").read_bytes())
    for place in range(40, len(whole) // 2, max(1, len(whole) // 12)):
        flipped = bytearray(whole)
        flipped[place] ^= 0xFF
        (tmp_path / "b").write_bytes(flipped)
        with pytest.raises(BrokenBackup):
            restore(tmp_path / "b", to_sqlite)
        assert not to_sqlite.workspace.exists()


def test_what_is_no_archive_is_refused(to_sqlite, tmp_path):
    with pytest.raises(StoreError, match="no file"):
        restore(tmp_path / "nothing", to_sqlite)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BrokenBackup):
        restore(tmp_path / "text", to_sqlite)
