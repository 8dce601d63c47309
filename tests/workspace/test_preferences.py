"""From a table of preferences to a version that prefers what people prefer, on a tiny base."""

import csv
import json
import math
from dataclasses import replace

import pytest

from chiliad.config import Precision
from chiliad.data import table_from_rows, to_preferences
from chiliad.errors import StoreError, UnusableData, WrongBase
from chiliad.training import Method
from chiliad.workspace import TrainOptions
from chiliad.workspace.freezing import learned_by
from chiliad.workspace.many.outcome import Journal
from chiliad.workspace.plan import plan
from chiliad.workspace.preferring import drafted
from tests.tiny import QUICK, write_table
from tests.workspace.test_worker import work_until_done

EAGER = TrainOptions(rank=4, epochs=12, learning_rate=1e-2, baselines=False)


def pairs(count=60):
    """The answer that is asked for against the other one."""
    kinds = [("where is box", "it is on its way"), ("money back for", "it will be paid")]
    return [
        {"prompt": f"{kinds[n % 2][0]} {n}", "chosen": kinds[n % 2][1], "rejected": kinds[1 - n % 2][1]}
        for n in range(count)
    ]


def thumbs(count=60):
    return [
        {"prompt": pair["prompt"], "completion": pair[side], "label": side == "chosen"}
        for pair in pairs(count)
        for side in ("chosen", "rejected")
    ]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "pairs.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["prompt", "chosen", "rejected"])
        writer.writeheader()
        writer.writerows(pairs())
    return path


def test_pairs_teach_a_new_expert_what_is_preferred(workspace, table):
    expert = workspace.train("replies", table, base="tiny", options=EAGER)
    told = expert.version.training
    assert (told["method"], told["beta"], told["rows"]) == (
        "dpo",
        0.1,
        len(workspace.own_dataset(expert).preferences.train),
    )
    assert told["preferences_held_out"] == len(workspace.own_dataset(expert).preferences.test)
    assert told["preferences_agreed"] > 0.9
    assert told["chosen_likelier"] > 0.9 > told["chosen_likelier_before"]
    assert told["loss"][0][1] == pytest.approx(math.log(2), rel=0.1)
    assert expert.refusal is None
    assert expert("where is box 7")


def test_preferences_continue_the_live_version_and_the_card_tells_what_came_of_it(workspace, table, tmp_path):
    rows = [(pair["prompt"], pair["chosen"]) for pair in pairs(48)]
    before = workspace.train("replies", write_table(tmp_path / "rows.csv", rows), base="tiny", options=QUICK)
    options = TrainOptions(epochs=1, learning_rate=1e-4)
    after = workspace.train("replies", [*pairs(48), *pairs(120)[48:]], base="tiny", options=options)
    assert (after.version.parent, after.version.training["continued_from"]) == (1, "replies@1")
    assert after.version.training["rank"] == before.version.training["rank"]
    old, new = workspace.own_dataset(before), workspace.own_dataset(after)
    assert new.test == old.test
    assert after.comparison.n == len(old.test)
    learned = {one.key for one in (*new.preferences.train, *new.preferences.dev)}
    assert not learned & {example.key for example in old.test}
    assert any("preferences held out" in note for note in after.card.notes)
    assert "preferences held out" in after.card.to_markdown()
    corrected = workspace.correct("replies", [{"text": "where is box 999", "label": "no"}], options=QUICK)
    assert "method" not in corrected.version.training
    assert corrected.version.training["continued_from"] == "replies@2"


def test_preferences_that_were_held_out_stay_so_whatever_was_learned_in_between(workspace, table):
    options = replace(EAGER, epochs=1)
    first = workspace.train("replies", table, base="tiny", options=options)
    held = workspace.own_dataset(first).preferences.test
    corrected = workspace.correct("replies", [{"text": "where is box 999", "label": "it will be paid"}], options=QUICK)
    assert workspace.own_dataset(corrected).preferences is None
    after = workspace.assign("replies", pairs(120), base="tiny", options=options).dataset.preferences
    assert after.test == held
    assert not {one.key for one in after.test} & learned_by(workspace, corrected.version)
    assert not {one.key for one in held} & {one.key for one in (*after.train, *after.dev)}


def test_preferences_that_are_given_as_a_test_are_none_that_were_learned(workspace, table):
    first = workspace.train("replies", table, base="tiny", options=replace(EAGER, epochs=1))
    parts, learned = workspace.own_dataset(first).preferences, learned_by(workspace, first.version)
    given = workspace.assign("replies", pairs(150), test=pairs(180)[30:90], base="tiny").dataset.preferences
    news = {one.key for one in to_preferences(table_from_rows(pairs(180)[30:90]))} - learned
    assert {one.key for one in given.test} == news
    assert not {one.key for one in parts.test} & {one.key for one in (*given.train, *given.dev)}
    known = [{"prompt": one.messages[0].content, "chosen": one.chosen, "rejected": one.rejected} for one in parts.train]
    with pytest.raises(UnusableData, match="replies@1 has learned every preference"):
        workspace.assign("replies", pairs(120), test=known, base="tiny")


def test_thumbs_are_learned_and_pairs_may_be_taken_as_thumbs(workspace, table):
    single = workspace.train("single", thumbs(), base="tiny", options=EAGER)
    told = single.version.training
    assert told["method"] == "kto"
    assert told["preferences_agreed"] > 0.9
    assert "chosen_likelier" not in told
    both = workspace.train(
        "both", table, base="tiny", options=TrainOptions(method=Method.KTO, epochs=1, rank=2, baselines=False, beta=0.5)
    )
    assert (both.version.training["method"], both.version.training["beta"]) == ("kto", 0.5)
    assert both.version.training["rows"] == 2 * len(workspace.own_dataset(both).preferences.train)
    with pytest.raises(UnusableData, match="DPO compares two answers"):
        workspace.train("third", thumbs(), base="tiny", options=TrainOptions(method=Method.DPO))


def test_pairs_may_be_learned_as_examples(workspace, table):
    options = TrainOptions(method=Method.SUPERVISED, rank=2, epochs=1, baselines=False)
    expert = workspace.train("plain", table, base="tiny", options=options)
    dataset = workspace.own_dataset(expert)
    assert dataset.preferences is None
    assert {example.answer for example in dataset.train} == {"it is on its way", "it will be paid"}
    named = workspace.assign("named", table, input="prompt", output="rejected", base="tiny")
    assert named.dataset.preferences is None


def test_an_expert_of_another_name_is_where_training_may_start(workspace, table, tmp_path):
    rows = [(pair["prompt"], pair["chosen"]) for pair in pairs(48)]
    first = workspace.train("replies", write_table(tmp_path / "rows.csv", rows), base="tiny", options=QUICK)
    assigned = workspace.assign("polite", pairs(120), base="tiny", parent=first.version)
    assert (assigned.parent.ref, assigned.base) == (first.ref, "tiny")
    assert assigned.dataset.test == workspace.own_dataset(first).test
    with pytest.raises(WrongBase, match="replies@1"):
        workspace.assign("replies", pairs(120), base="other")


def test_as_a_job_it_is_the_same_expert(workspace, table):
    here = workspace.train("here", table, base="tiny", options=EAGER)
    job = workspace.jobs.train("there", table, base="tiny", options=EAGER)
    assert work_until_done(workspace, job).error is None
    assert workspace.expert("there").version.adapter_hash == here.version.adapter_hash


def test_experts_of_a_folder_may_learn_of_either_kind_together(workspace, table, tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    table.rename(folder / "pairs.csv")
    write_table(folder / "rows.csv", [(pair["prompt"], pair["chosen"]) for pair in pairs()])
    (folder / "thumbs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in thumbs()))
    many = workspace.many(folder, base="tiny", options=QUICK)
    planned = many.plan()
    assert {entry.name: entry.rows for entry in planned.to_do}["thumbs"] > 60
    report = many.train(planned)
    assert all(outcome.made for outcome in report.outcomes)
    methods = {name: workspace.expert(name).version.training.get("method") for name in ("pairs", "rows", "thumbs")}
    assert methods == {"pairs": "dpo", "rows": None, "thumbs": "kto"}
    again = workspace.many(folder, base="tiny", options=QUICK)
    planned = again.plan()
    assert (len(planned.to_do), len(planned.done)) == (0, 3)
    assert again.train(planned).outcomes == report.outcomes
    assert {name: len(workspace.registry.versions(name)) for name in methods} == dict.fromkeys(methods, 1)
    (folder / "thumbs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in thumbs(70)))
    assert [entry.name for entry in again.plan().to_do] == ["thumbs"]


def test_what_became_live_before_its_outcome_was_noted_is_not_trained_on_again(workspace, table, tmp_path, monkeypatch):
    folder = tmp_path / "tables"
    folder.mkdir()
    table.rename(folder / "pairs.csv")

    def broken(*_: object) -> None:
        raise StoreError("The disk is full.", fix="Free some space.")

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "note", broken)
            with pytest.raises(StoreError):
                workspace.train_many(folder, base="tiny", options=QUICK)
        assert workspace.expert("pairs").ref.number == 1
    (outcome,) = workspace.train_many(folder, base="tiny", options=QUICK).outcomes
    assert (outcome.made.version, outcome.made.live) == (1, True)
    assert len(workspace.registry.versions("pairs")) == 1
    assert not list(workspace.folder.glob("reports/tables/outcomes/*.begun"))


def test_what_continues_in_another_precision_is_left_out_of_a_collection(workspace, table, tmp_path):
    rows = [{"input": pair["prompt"], "output": pair["chosen"]} for pair in pairs()]
    workspace.train("pairs", rows, base="tiny", options=replace(QUICK, base_precision=Precision.INT4))
    folder = tmp_path / "tables"
    folder.mkdir()
    table.rename(folder / "pairs.csv")
    write_table(folder / "rows.csv", [(row["input"], row["output"]) for row in rows])
    planned = workspace.many(folder, base="tiny", options=QUICK).plan()
    (left_out,) = planned.left_out
    assert left_out.label == "pairs"
    assert "tiny in int4" in left_out.cause
    assert [entry.name for entry in planned.to_do] == ["rows"]
    same = workspace.many(folder, base="tiny", options=replace(QUICK, base_precision=Precision.INT4)).plan()
    assert len(same.to_do) == 2


def test_a_plan_says_what_would_be_learned(workspace, table):
    text = plan(workspace, drafted(workspace, "replies", table, base="tiny", options=QUICK))
    assert text.startswith("DPO       33 for training")
