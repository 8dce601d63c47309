"""`chiliad data check` of tables that state preferences."""

import json

from tests.tiny import write_table


def test_preferences_are_counted_and_divided(chiliad, tmp_path):
    rows = [(f"write to {n}", f"Dear {n}", f"hey {n}") for n in range(30)]
    data = write_table(tmp_path / "pairs.csv", rows, header=("prompt", "chosen", "rejected"))
    assert chiliad("data", "check", data).out.startswith(
        "pairs.csv · preferences: 30 pairs\nSplit of a new expert: 17 "
    )
    told = json.loads(chiliad("data", "check", data, "--json").out)
    assert (told["preferences"], sum(told["split"].values())) == ({"pairs": 30}, 30)
    rated = [(f"write to {n}", f"hey {n}", n % 3 == 0) for n in range(30)]
    data = write_table(tmp_path / "rated.csv", rated, header=("prompt", "completion", "label"))
    chiliad("data", "check", data).refused("10 different rows")
    same = write_table(tmp_path / "same.csv", [("a", "b", "b")], header=("prompt", "chosen", "rejected"))
    chiliad("data", "check", same).refused("row 1: chosen and rejected are the same answer")
