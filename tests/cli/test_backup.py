"""`chiliad backup` and `chiliad restore` as commands."""

import json

from tests.cli.conftest import contents


def test_a_workspace_goes_to_a_file_and_comes_back(chiliad, live, tmp_path):
    written = chiliad("backup", "ws.zip", "--json")
    assert written.code == 0, written.err
    assert json.loads(written.out)["experts"] == 1
    restored = chiliad("restore", "ws.zip", "-w", "again")
    assert restored.code == 0, restored.err
    assert "1 experts" in restored.out
    assert contents(tmp_path / "again") == contents(live)
    assert json.loads(chiliad("experts", "list", "-w", "again", "--json").out)[0]["live"] == 1


def test_what_cannot_be_done_is_said(chiliad, live, tmp_path):
    (tmp_path / "ws.zip").write_text("taken")
    chiliad("backup", "ws.zip").refused("exists already")
    chiliad("restore", "ws.zip").refused("not a whole backup")
    chiliad("restore", "none.zip").refused("no file")
