"""`chiliad train --many`: the plan, the board, the report, and what ends as an error."""

import io
import json

from rich.console import Console

from chiliad.training import StepEvent
from chiliad.workspace.many.board import RichBoard
from chiliad.workspace.many.outcome import Made, Outcome
from tests.cli.conftest import FAST
from tests.tiny import ROWS, write_table


def test_a_folder_is_planned_trained_and_reported(chiliad, tmp_path):
    folder = tmp_path / "desk"
    folder.mkdir()
    write_table(folder / "tickets.csv")
    planned = chiliad("train", "--many", folder, *FAST, "--dry-run")
    assert planned.code == 0, planned.err
    assert {line.split()[0] for line in planned.out.splitlines()} >= {"Experts", "Tokens", "Time", "Memory"}
    assert planned.out.endswith("Nothing was written.\n")
    assert not (tmp_path / "ws").exists()
    write_table(folder / "few.csv", ROWS[:3])
    done = chiliad("train", "--many", folder, *FAST)
    done.refused("1 of 2 experts could not be trained")
    assert "few: There are 3 different rows" in done.out
    assert "tickets: accuracy" in done.err
    assert (tmp_path / "ws" / "reports" / "desk" / "report.html").is_file()
    (folder / "few.csv").unlink()
    again = chiliad("train", "--many", folder, *FAST, "--json")
    assert again.code == 0, again.err
    (outcome,) = json.loads(again.out)
    assert (outcome["name"], outcome["made"]["version"], outcome["made"]["live"]) == ("tickets", 1, True)


def test_one_expert_or_many_but_not_both(chiliad, table):
    chiliad("train", "--many", table, *FAST).refused("no column 'expert'")
    chiliad("train", "tickets", "--many", table, *FAST).refused("goes not with --many", code=2)
    chiliad("train", "tickets", *FAST).refused("NAME and --data", code=2)


def test_the_board_shows_every_expert():
    screen, now = io.StringIO(), iter(range(0, 1000, 10))
    console = Console(file=screen, force_terminal=True, width=100)
    board = RichBoard(console, clock=lambda: next(now))
    broken = Outcome("odd", None, "", None, cause="It is empty.", fix="Fill it.")
    board.begin({"a": 100, "b": 100, "c": 100}, [broken])
    board.step(StepEvent("b", 1, 4, 6, 12, 0.5, 800.0, 3.0))
    board.ended(Outcome("a", "a", "", "k", Made(1, True, 40, 4, 90, 1.0, 5_000)))
    console.print(board._view())
    shown = screen.getvalue()
    assert "2 of 4 experts" in shown
    assert "800 tokens/s" in shown
    assert "20 s left" in shown
    assert "epoch 2/4" in shown
    assert "a: trained" in shown
