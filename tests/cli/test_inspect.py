"""`chiliad inspect` as people and programs use it."""

import json
from pathlib import Path


def test_an_inspection_is_shown_and_kept_as_a_page(chiliad, live):
    shown = chiliad("inspect", "tickets")
    assert shown.code == 0, shown.err
    assert "tickets@1 · tiny · rank 2" in shown.out
    assert "down_proj" in shown.out
    assert "no adapter" in shown.out
    assert "tickets@1" in Path("ws/reports/inspections/tickets-1.html").read_text()


def test_a_rank_is_applied_with_one_flag_and_goes_through_the_gate(chiliad, live):
    chiliad("inspect", "tickets", "--rank", 1).refused("--rank", code=2)
    done = chiliad("inspect", "tickets", "--apply", "--rank", 1, "--no-baselines", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["applied"] == {"expert": "tickets@2", "live": True}
    assert [one["rank"] for one in report["costs"]] == [2, 1, 0]
    facts = json.loads(chiliad("experts", "show", "tickets", "--json").out)
    assert facts["training"]["pruned_from_rank"] == 2
