"""Uploaded files on both kinds of database: whole or absent, gone when their time is over."""

import hashlib
import os

import pytest

from chiliad.errors import FileMissing, FileRefused, StoreError
from chiliad.store import Database, Purpose, Uploads


class Clock:
    now_s = 1_000_000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def database(database_url):
    database = Database.open(database_url)
    yield database
    database.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def uploads(database, tmp_path, clock):
    return Uploads(database, tmp_path / "files", clock)


def add(uploads, content=b"abc", **options):
    return uploads.add("a.jsonl", Purpose.BATCH, iter([content]), **options)


def test_a_file_is_kept_with_its_hash_until_it_is_deleted(uploads):
    file = add(uploads, b"abc")
    assert (file.bytes, file.sha256) == (3, hashlib.sha256(b"abc").hexdigest())
    assert uploads.get(file.id) == file
    assert uploads.path(file).read_bytes() == b"abc"
    uploads.delete(file.id)
    for look in (uploads.get, uploads.delete):
        with pytest.raises(FileMissing):
            look(file.id)


def test_files_come_in_order_and_by_purpose(uploads, clock):
    files = []
    for n in range(5):
        clock.now_s += n % 2  # some at one moment
        files.append(uploads.add(f"{n}", Purpose.EVALS if n == 3 else Purpose.BATCH, iter([b"x"])))
    ordered = sorted(files, key=lambda file: (file.created_s, file.id))
    assert uploads.page(newest_first=False) == ordered
    assert uploads.page(newest_first=False, after=ordered[1].id, limit=2) == ordered[2:4]
    assert uploads.page(after=ordered[1].id) == ordered[:1]
    assert uploads.page(purpose="evals") == [files[3]]
    with pytest.raises(FileMissing):
        uploads.page(after="file-none")


def test_what_is_refused_leaves_nothing(uploads, tmp_path):
    def object_to(path):
        assert path.read_bytes() == b"abc"
        raise FileRefused("No.", fix="None.")

    with pytest.raises(FileRefused):
        add(uploads, check=object_to)
    with pytest.raises(FileRefused, match="larger than 2 bytes"):
        add(uploads, bytes_max=2)
    with pytest.raises(FileRefused, match="cannot be the name"):
        uploads.add("../x", Purpose.BATCH, iter([b"x"]))
    assert list((tmp_path / "files").iterdir()) == []
    assert uploads.page() == []


def test_a_file_of_a_given_id_is_written_once(uploads):
    first = add(uploads, b"one", file_id="file-job-1")
    assert add(uploads, b"two", file_id="file-job-1") == first
    assert uploads.path(first).read_bytes() == b"one"


def test_what_has_expired_or_was_left_by_a_killed_writer_goes(uploads, clock, tmp_path):
    file = add(uploads, expires_after_s=10)
    left = tmp_path / "files" / "file-0123"
    left.mkdir()
    os.utime(left, (0, 0))
    clock.now_s += 10
    with pytest.raises(FileMissing):
        uploads.get(file.id)
    assert uploads.page() == []
    kept = add(uploads)
    assert [path.name for path in (tmp_path / "files").iterdir()] == [kept.id]


def test_bytes_that_somebody_removed_are_missing(uploads):
    file = add(uploads)
    uploads.path(file).unlink()
    with pytest.raises(StoreError, match="are gone"):
        uploads.path(file)
