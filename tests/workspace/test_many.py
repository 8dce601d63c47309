"""Many experts from one collection on a tiny base: the same as one by one, noted as they end, killed and continued."""

import csv
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from chiliad.errors import ExpertNotFound, StoreError, UnusableData
from chiliad.evals import EvalOptions
from chiliad.store.files import folder_lock
from chiliad.workspace import TrainOptions, Workspace
from tests.tiny import QUICK, ROWS, environment, write_table

OTHER = {"status": "ja", "refund": "nein", "damage": "jein"}
NAMES = ("answers", "tickets", "unlike-names")


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three tables that can be trained on."""
    root = tmp_path / "desk"
    (root / "words").mkdir(parents=True)
    write_table(root / "tickets.csv")
    write_table(root / "words" / "answers.csv", [(text, OTHER[label]) for text, label in ROWS])
    write_table(root / "words" / "Unlike Names.csv", [(text.upper(), label) for text, label in ROWS])
    return root


def _hashes(workspace):
    return {name: [v.adapter_hash for v in workspace.registry.versions(name)] for name in NAMES}


def _csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_good_ones_train_as_if_alone_and_the_broken_ones_are_told(workspace, folder):
    write_table(folder / "short.csv", ROWS[:3])
    write_table(folder / "same.csv", [(text, "status") for text, _ in ROWS])
    write_table(folder / "base.csv")
    write_table(folder / "日本.csv")
    (folder / "empty.csv").write_text("")
    (folder / "unlike_names.csv").write_bytes((folder / "tickets.csv").read_bytes())
    (folder / "unlike-names.csv").write_bytes((folder / "tickets.csv").read_bytes())
    report = workspace.train_many(folder, base="tiny", options=QUICK)
    causes = {outcome.label: outcome.cause for outcome in report.failed}
    assert causes.keys() == {"short", "same", "base", "日本", "empty", "unlike-names", "Unlike Names"}
    assert "3 different rows" in causes["short"]
    assert "same answer" in causes["same"]
    assert all(outcome.fix for outcome in report.failed)
    made = {outcome.name: outcome for outcome in report.outcomes if outcome.made}
    assert made.keys() == {"answers", "tickets", "unlike_names"}
    assert made["answers"].family == "words"
    for name in ("tickets", "answers"):
        alone = workspace.train(f"{name}-alone", _source(folder, name), base="tiny", options=QUICK)
        assert workspace.expert(name).version.adapter_hash == alone.version.adapter_hash
        expert = workspace.expert(name)
        assert made[name].proof.score == workspace.score(expert, workspace.own_dataset(expert).test)
    rows = {row["label"]: row for row in _csv(report.folder / "experts.csv")}
    assert rows.keys() == {*causes, *made}
    assert float(rows["tickets"]["score"]) == pytest.approx(made["tickets"].proof.score, abs=1e-6)
    assert "same answer" in rows["same"]["cause"]
    families = {row["family"]: row["experts"] for row in _csv(report.folder / "families.csv")}
    assert families == {"all": "3", "": "2", "words": "1"}
    page = report.page.read_text()
    assert all(f"{name}@1" in page for name in made)
    assert "Add rows with other answers" in page
    assert "日本" in page


def _source(folder, name):
    return next(folder.rglob(f"{name}.csv"))


def test_the_same_again_trains_nothing_and_what_changed_is_trained(workspace, folder):
    first = workspace.train_many(folder, base="tiny", options=QUICK)
    plan = workspace.many(folder, base="tiny", options=QUICK).plan()
    assert (len(plan.to_do), len(plan.done)) == (0, 3)
    assert workspace.train_many(folder, base="tiny", options=QUICK).outcomes == first.outcomes
    assert all(len(versions) == 1 for versions in _hashes(workspace).values())
    write_table(folder / "tickets.csv", [*ROWS, ("wo ist box 99", "status")])
    again = workspace.train_many(folder, base="tiny", options=QUICK)
    assert {outcome.name: outcome.made.version for outcome in again.outcomes} == {
        "answers": 1, "tickets": 2, "unlike-names": 1,
    }  # fmt: skip
    workspace.registry.delete_expert("answers")
    assert [entry.name for entry in workspace.many(folder, base="tiny", options=QUICK).plan().to_do] == ["answers"]
    with folder_lock(again.folder), pytest.raises(StoreError, match="in use"):
        workspace.train_many(folder, base="tiny", options=replace(QUICK, seed=1))


SLOW = TrainOptions(rank=2, epochs=3, baselines=False)
KILLED = """
import os, sys
from pathlib import Path
from chiliad.config import Settings
from chiliad.workspace import SilentReporter, TrainOptions, Workspace
from tests.workspace.test_many import SLOW

folder, events, noted = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

class Killer(SilentReporter):
    seen = 0
    def stage(self, doing, done, total):
        self.seen += 1
        if self.seen >= events and len(list(ws.folder.glob("reports/desk/outcomes/*.json"))) >= noted:
            os.kill(os.getpid(), 9)

with Workspace.open(Settings.load(), Killer()) as ws:
    ws.train_many(folder, base="tiny", options=SLOW)
"""


def test_killed_while_it_trains_and_while_it_evaluates_it_ends_as_if_nothing_had_been(settings, folder, tmp_path):
    for events, noted in ((24, 0), (0, 1)):
        command = [sys.executable, "-c", KILLED, str(folder), str(events), str(noted)]
        surroundings = environment(settings, PYTHONPATH=f"src{os.pathsep}.")
        done = subprocess.run(command, env=surroundings, cwd=Path(__file__).parents[2], check=False)
        assert done.returncode == -signal.SIGKILL
    with Workspace.open(settings) as ws:
        before = {outcome.stem for outcome in ws.folder.glob("reports/desk/outcomes/*.json")}
        assert 0 < len(before) < 3
        report = ws.train_many(folder, base="tiny", options=SLOW)
        assert not report.failed
        continued = _hashes(ws)
        left = {path.parent.name.rsplit("-", 2)[0] for path in ws.folder.glob("runs/*/checkpoint*")}
        assert left <= before, "only an expert that was noted just before the kill leaves its checkpoint, to `gc`"
    with Workspace.open(replace(settings, workspace=tmp_path / "whole")) as other:
        whole = other.train_many(folder, base="tiny", options=SLOW)
        assert _hashes(other) == continued
    scores = [{outcome.name: outcome.proof.score for outcome in one.outcomes} for one in (report, whole)]
    assert scores[0] == scores[1]


def test_each_expert_has_its_card_and_the_report_its_gain(workspace, folder):
    options = TrainOptions(rank=2, epochs=1, evaluation=EvalOptions(base_rows_max=4))
    rows = [{"expert": "tickets", "family": "desk", "text": t, "label": a, "instruction": "Sort it."} for t, a in ROWS]
    rows += [{**row, "expert": "few", "split": "test" if n % 6 == 0 else ""} for n, row in enumerate(rows)]
    report = workspace.train_many(rows, title="both", base="tiny", options=options)
    assert report.folder == workspace.folder / "reports" / "both"
    card = workspace.expert("few").card
    (outcome,) = [outcome for outcome in report.outcomes if outcome.name == "few"]
    assert outcome.proof.rows == card.expert.rows == 12
    assert card.provenance.instruction == "Sort it."
    assert outcome.proof.best.delta == card.test.delta
    assert report.all.gain.mean == pytest.approx(sum(o.proof.best.delta for o in report.outcomes) / 2)
    (row,) = [row for row in _csv(report.folder / "experts.csv") if row["expert"] == "few"]
    assert float(row["zero_shot"]) == pytest.approx(outcome.proof.baselines["zero_shot"], abs=1e-6)
    assert 'href="../../experts/few/1/card.html"' in report.page.read_text()
    assert (report.folder / "../../experts/few/1/card.html").resolve().is_file()


def test_one_that_diverges_is_told_and_the_rest_are_trained(workspace, folder):
    wild = replace(QUICK, learning_rate=1e30)
    report = workspace.train_many(folder, base="tiny", options=wild)
    assert {outcome.cause.split(":")[0] for outcome in report.failed} == {"Training diverged"}
    with pytest.raises(ExpertNotFound):
        workspace.expert("tickets")
    assert not workspace.train_many(folder, base="tiny", options=QUICK).failed


def test_a_family_that_is_named_anew_reaches_the_report_of_what_is_done_already(workspace):
    rows = [{"expert": "Tickets", "family": "dsek", "text": text, "label": label} for text, label in ROWS]
    workspace.train_many(rows, title="desk", base="tiny", options=QUICK)
    corrected = [{**row, "expert": "tickets", "family": "desk"} for row in rows]
    report = workspace.train_many(corrected, title="desk", base="tiny", options=QUICK)
    assert workspace.expert("tickets").ref.number == 1
    assert {row["family"] for row in _csv(report.folder / "families.csv")} == {"all", "desk"}
    assert [row["label"] for row in _csv(report.folder / "experts.csv")] == ["tickets"]


def test_no_tables_at_all_is_an_error(workspace, tmp_path):
    empty = tmp_path / "none"
    empty.mkdir()
    with pytest.raises(UnusableData, match="no tables"):
        workspace.train_many(empty)
