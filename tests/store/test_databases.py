"""The databases of a workspace: files under plain names in one folder, whole or not at all."""

import sqlite3
from contextlib import closing

import pytest

from chiliad.config import CopilotSettings
from chiliad.errors import FileMissing, FileRefused
from chiliad.store import Databases
from chiliad.store.files import orphaned_stages
from tests.store.test_read_only import make

ROOM = 1 << 20


@pytest.fixture
def whole(tmp_path):
    make(tmp_path / "made.db")
    return (tmp_path / "made.db").read_bytes()


@pytest.fixture
def databases(tmp_path):
    return Databases(tmp_path / "databases", CopilotSettings())


def test_a_database_is_added_listed_opened_and_removed(databases, whole):
    assert databases.all() == []
    added = databases.add("post.db", [whole[:100], whole[100:]], bytes_max=ROOM)
    assert databases.all() == [added]
    assert added.bytes == len(whole)
    assert databases.open("post.db").run("SELECT COUNT(*) FROM letters").rows == ((100,),)
    databases.remove("post.db")
    assert databases.all() == []
    with pytest.raises(FileMissing):
        databases.remove("post.db")


def test_what_is_being_added_is_no_leftover_of_a_killed_writer(databases, whole, tmp_path):
    def slowly():
        yield whole[:100]
        assert list((tmp_path / "databases").glob(".staging-*"))
        assert orphaned_stages(tmp_path / "databases") == []
        yield whole[100:]

    assert databases.add("post.db", slowly(), bytes_max=ROOM) in databases.all()


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".db",
        "../x.db",
        "a/b.db",
        "a\\b.db",
        "/etc/x.db",
        "x",
        "x.txt",
        "x.db\n",
        "x\x00.db",
        "é.db",
        "x" * 90 + ".db",
    ],
)
def test_a_name_is_no_path(databases, whole, name, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileRefused):
        databases.add(name, [whole], bytes_max=ROOM)
    with pytest.raises(FileMissing):
        databases.open(name)
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_but_the_folders_own_files_is_opened(databases, whole, tmp_path):
    databases.add("post.db", [whole], bytes_max=ROOM)
    folder = tmp_path / "databases"
    (folder / "link.db").symlink_to(tmp_path / "made.db")
    (folder / "folder.db").mkdir()
    (folder / "notes.txt").write_text("x")
    assert [file.name for file in databases.all()] == ["post.db"]
    for name in ("link.db", "folder.db", "notes.txt", "chiliad.db"):
        with pytest.raises(FileMissing):
            databases.open(name)


@pytest.mark.parametrize(
    ("change", "room"),
    [
        (lambda whole: whole[:5000], ROOM),
        (lambda whole: b"PK" + whole, ROOM),
        (lambda whole: whole, 9000),
        (lambda whole: b"", ROOM),
    ],
    ids=["cut short", "something else", "too large", "empty"],
)
def test_what_is_refused_leaves_nothing(databases, whole, tmp_path, change, room):
    with pytest.raises(FileRefused):
        databases.add("post.db", [change(whole)], bytes_max=room)
    assert databases.all() == []
    assert list((tmp_path / "databases").iterdir()) == []


def test_a_name_that_is_taken_stays_what_it_was(databases, whole, tmp_path):
    databases.add("post.db", [whole], bytes_max=ROOM)
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE other (x)")
    with pytest.raises(FileRefused, match="already"):
        databases.add("post.db", [(tmp_path / "other.db").read_bytes()], bytes_max=ROOM)
    assert databases.open("post.db").run("SELECT COUNT(*) FROM letters").rows == ((100,),)
