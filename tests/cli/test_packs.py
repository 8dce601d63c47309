"""`chiliad experts install`: a pack from one workspace, live in another."""

import json

from chiliad.workspace import Workspace
from chiliad.workspace.packing import pack
from tests.tiny import QUICK, write_table


def test_a_pack_is_installed_and_told_of(chiliad, settings, tmp_path):
    (tmp_path / "desk").mkdir()
    for name in ("tickets", "orders"):
        write_table(tmp_path / "desk" / f"{name}.csv")
    with Workspace.open(settings) as workspace:
        report = workspace.train_many(tmp_path / "desk", base="tiny", options=QUICK)
        pack(workspace, report.outcomes, tmp_path / "two.zip", title="two experts")
    done = chiliad("experts", "install", "two.zip", "--workspace", "theirs")
    assert (done.code, done.out) == (0, "2 experts of two experts are live.\n")
    again = json.loads(chiliad("experts", "install", "two.zip", "--workspace", "theirs", "--json").out)
    assert again == {"title": "two experts", "new": [], "present": ["orders@1", "tickets@1"]}
    shown = chiliad("experts", "show", "tickets", "--workspace", "theirs").out
    assert "says the pack that it came in" in shown
    chiliad("experts", "install", "none.zip").refused("There is no file none.zip")
    (tmp_path / "broken.zip").write_bytes((tmp_path / "two.zip").read_bytes()[:-50])
    chiliad("experts", "install", "broken.zip", "--workspace", "other").refused("not a whole pack")
