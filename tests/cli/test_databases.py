"""`chiliad databases`."""

import json

from tests.store.test_read_only import make


def test_a_database_is_added_listed_and_removed(chiliad, tmp_path):
    make(tmp_path / "post.db")
    added = chiliad("databases", "add", tmp_path / "post.db")
    assert added.code == 0, added.err
    assert "post.db" in chiliad("databases", "list").out
    (told,) = json.loads(chiliad("databases", "list", "--json").out)
    assert told == {"name": "post.db", "bytes": (tmp_path / "post.db").stat().st_size}
    assert chiliad("databases", "remove", "post.db").code == 0
    assert json.loads(chiliad("databases", "list", "--json").out) == []
    assert (tmp_path / "post.db").exists()


def test_what_is_no_database_is_refused(chiliad, tmp_path):
    (tmp_path / "post.db").write_text("hello")
    refused = chiliad("databases", "add", tmp_path / "post.db")
    assert refused.code == 1
    assert "no SQLite database" in refused.err
    assert chiliad("databases", "add", tmp_path / "nothing.db").code == 1
    assert chiliad("databases", "remove", "../post.db").code == 1
