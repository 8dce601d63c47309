"""The circle on a tiny random base: train, ask, evaluate, correct, gate; with real files, database, engine and embedder."""

import asyncio
import gc
import json
import signal
import subprocess
import sys
import time
import weakref
from dataclasses import replace

import pandas as pd
import pytest

from chiliad.errors import (
    BadRequest,
    BaseNotFound,
    BrokenAdapter,
    ExpertNotFound,
    PromotionRefused,
    RegistryError,
    StoreError,
    WrongBase,
)
from chiliad.evals import EvalOptions, Outcome
from chiliad.registry import Comparison
from chiliad.store.files import folder_lock
from chiliad.workspace import TrainOptions, Workspace
from chiliad.workspace.lessons import CORRECTION_WEIGHT, make_lessons, row_of
from tests.base.tiny import write_folder
from tests.tiny import QUICK, ROWS, as_in_a_terminal, environment, write_table


@pytest.fixture
def expert(workspace, table):
    return workspace.train("tickets", table, base="tiny", options=QUICK)


def test_rows_that_are_longer_than_the_base_has_positions_are_left_out(workspace, tmp_path):
    """The tiny base has 512, fewer than engine.context_max."""
    rows = [*ROWS, *((f"{n}: " + "where is the box " * 60, "status") for n in range(6))]
    table = write_table(tmp_path / "long.csv", rows)
    expert = workspace.train("tickets", table, base="tiny", options=QUICK)
    assert expert.version.training["rows_too_long"] > 0
    assert expert.version.training["rows"] + expert.version.training["rows_too_long"] == len(
        workspace.own_dataset(expert).train
    )


def test_an_expert_answers_within_its_closed_set(workspace, expert):
    assert expert.ref.number == 1
    assert expert.refusal is None
    assert expert("where is box 99") in {"status", "refund", "damage"}
    assert workspace.ask("tickets", "where is box 99") == workspace.ask("tickets@1", "where is box 99")


def test_calling_from_asyncio_gives_the_same_answers(expert):
    texts = ["where is box 7", "money back for 9", "lid 3 is broken"]

    async def ask_all():
        return await asyncio.gather(*(expert.acall(text) for text in texts))

    assert asyncio.run(ask_all()) == [expert(text) for text in texts]


def test_training_is_repeatable_and_a_version_is_its_files(workspace, table, expert):
    again = workspace.train("again", table, base="tiny", options=QUICK)
    assert again.version.adapter_hash == expert.version.adapter_hash
    other = workspace.train(
        "other", table, base="tiny", options=TrainOptions(rank=2, epochs=1, seed=1, baselines=False)
    )
    assert other.version.adapter_hash != expert.version.adapter_hash


def test_frames_and_rows_train_like_files(workspace, expert):
    frame = pd.DataFrame(ROWS, columns=["text", "label"])
    rows = [{"text": text, "label": label} for text, label in ROWS]
    hashes = {
        workspace.train(name, data, base="tiny", options=QUICK).version.adapter_hash
        for name, data in (("frame", frame), ("rows", rows))
    }
    assert hashes == {expert.version.adapter_hash}


def test_the_card_holds_the_expert_beside_its_baselines(workspace, table):
    expert = workspace.train("tickets", table, base="tiny", options=TrainOptions(rank=2, epochs=1))
    card = expert.card
    names = {row.name for row in card.baselines}
    assert {"majority", "zero_shot", "few_shot", "nearest"} <= names
    assert card.to_markdown().splitlines()[0].strip("# *") != ""
    assert (expert.folder / "card.html").read_text().count("<svg") >= 1
    assert card.constrained
    again = workspace.evaluate(workspace.expert("tickets"))
    assert again.expert.score == card.expert.score
    assert again.test_scores == card.test_scores


def test_corrections_train_the_next_version_and_leave_the_test_rows_alone(workspace, expert, tmp_path):
    before = workspace.own_dataset(expert)
    fixed = write_table(tmp_path / "fixed.csv", [("pause my plan please", "status"), (before.train[0].input, "damage")])
    corrected = workspace.correct("tickets", fixed, options=QUICK)
    after = workspace.own_dataset(corrected)
    assert corrected.version.parent == 1
    assert {example.id for example in after.test} == {example.id for example in before.test}
    answers = {example.input: example.answer for example in (*after.train, *after.dev)}
    assert answers["pause my plan please"] == "status"
    assert answers[before.train[0].input] == "damage"
    assert corrected.comparison.n == len(before.test)


def test_a_significantly_worse_version_does_not_go_live(workspace, expert, table):
    worse = workspace.train("tickets", table, base="tiny", options=QUICK)
    workspace.registry.rollback("tickets")
    bad = Comparison(
        candidate=worse.ref.number, live=1, dataset_hash="x", metric="accuracy", candidate_score=0.2, live_score=0.9,
        delta=-0.7, p_value=0.001, low=-0.9, high=-0.5, n=20,
    )  # fmt: skip
    with pytest.raises(PromotionRefused, match="significantly worse"):
        workspace.registry.promote("tickets", worse.ref.number, bad)
    assert workspace.expert("tickets").ref.number == 1
    workspace.registry.promote("tickets", worse.ref.number, bad, force=True)
    assert workspace.registry.history("tickets")[-1].forced


def test_a_version_is_compared_with_the_best_one_before_too(workspace, expert, table):
    second, third = (workspace.train("tickets", table, base="tiny", options=QUICK) for _ in range(2))
    workspace.registry.rollback("tickets")
    workspace.registry.rollback("tickets")
    slightly = replace(
        third.comparison, candidate=2, live=1, candidate_score=0.7, live_score=0.8, delta=-0.1, p_value=0.5
    )
    workspace.registry.promote("tickets", second.ref.number, slightly)
    assert workspace.registry.best("tickets") == 1
    workspace.promote("tickets@3")
    with_best = workspace.registry.comparison("tickets", 3, 1)
    assert (with_best.delta, with_best.n) == (0.0, len(workspace.own_dataset(expert).test))
    assert workspace.expert("tickets").ref.number == 3


def test_a_bad_name_is_refused_before_anything_is_trained(workspace, table):
    with pytest.raises(RegistryError, match="cannot be the name"):
        workspace.train("../evil", table, base="tiny", options=QUICK)
    assert not list((workspace.folder / "experts").glob("*"))


def test_changed_adapter_files_are_never_served(workspace, expert):
    path = expert.folder / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BrokenAdapter, match="changed since"):
        expert("where is box 1")


def test_an_expert_of_another_base_is_refused(workspace, expert, tmp_path):
    workspace.bases.remove("tiny")
    workspace.bases.pull(str(write_folder(tmp_path / "other", seed=5)), name="tiny")
    workspace.close()
    with Workspace.open(workspace.settings) as reopened, pytest.raises(WrongBase):
        reopened.expert("tickets")


def test_two_trainings_of_one_dataset_do_not_share_a_checkpoint(workspace, table, expert):
    run = next((workspace.folder / "runs").iterdir())
    with folder_lock(run), pytest.raises(StoreError, match="in use by another process"):
        workspace.train("tickets", table, base="tiny", options=QUICK)


def test_what_another_process_promotes_is_served_at_once(workspace, table, expert):
    service = workspace.service(bases=("tiny",))
    assert service.resolve("tickets").root == "tickets@1"
    with Workspace.open(workspace.settings) as other:
        other.train("tickets", table, base="tiny", options=TrainOptions(rank=2, epochs=1, seed=4, baselines=False))
    assert service.resolve("tickets").root == "tickets@2"
    assert service.resolve("tickets@1").parent == "tiny"
    assert {model.id for model in service.models()} == {"tickets", "tiny"}
    with pytest.raises(ExpertNotFound):
        service.resolve("nobody")


TRAIN = [
    sys.executable,
    "-m",
    "chiliad",
    "train",
    "tickets",
    "--base",
    "tiny",
    "--rank",
    "2",
    "--no-baselines",
    "--json",
]


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_training_leaves_nothing_and_the_same_command_continues(settings, table, stop):
    command = [*TRAIN, "--epochs", "40", "--data", str(table)]
    with subprocess.Popen(
        command, env=environment(settings), stderr=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=as_in_a_terminal
    ) as process:
        runs = settings.workspace / "runs"
        while not list(runs.glob("*/checkpoint.safetensors")) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(stop)
        _, err = process.communicate()
    assert process.returncode == (130 if stop is signal.SIGINT else -signal.SIGKILL), err.decode()
    assert not list((settings.workspace / "experts").glob("tickets/[0-9]*"))
    done = subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["live"]
    assert not list(runs.glob("*/checkpoint*"))


def test_a_correction_weighs_as_much_as_several_rows(workspace, expert):
    dataset, served = workspace.own_dataset(expert), expert.served
    corrected = dataset.train[0]
    plain = make_lessons(dataset, served, expert.template, 128)
    weighted = make_lessons(dataset, served, expert.template, 128, [corrected])
    row = row_of(corrected, served, expert.template)
    assert len(weighted.train) - len(plain.train) == weighted.train.count(row) - 1 == CORRECTION_WEIGHT - 1
    assert weighted.dev == plain.dev


def test_a_relabelled_table_is_judged_by_the_live_versions_test_rows(workspace, expert, tmp_path):
    turned = {"status": "refund", "refund": "damage", "damage": "status"}
    table = write_table(tmp_path / "turned.csv", [(text, turned[label]) for text, label in ROWS])
    candidate = workspace.train("tickets", table, base="tiny", options=QUICK)
    live_test = workspace.own_dataset(expert).test
    assert workspace.own_dataset(candidate).test == live_test
    assert candidate.comparison.n == len(live_test)


def test_no_row_of_a_group_that_the_live_version_is_tested_on_is_learned_beside_other_tests(workspace):
    rows = [{"text": text, "label": label, "who": f"customer {n}"} for n, (text, label) in enumerate(ROWS)]
    more = [{**row, "text": f"again: {row['text']}"} for row in rows]
    expert = workspace.train("tickets", rows, group="who", base="tiny", options=QUICK)
    tests = [{"text": f"what about {n}", "label": "status", "who": "new"} for n in range(9)]
    after = workspace.assign("tickets", [*rows, *more], test=tests, group="who", base="tiny", options=QUICK).dataset
    tested = {example.group for example in workspace.own_dataset(expert).test}
    assert len(after.test) == len(tests)
    assert not tested & {example.group for example in (*after.train, *after.dev)}


def test_other_test_rows_that_were_trained_on_void_the_score(workspace, expert, tmp_path):
    own = workspace.own_dataset(expert)
    seen = write_table(tmp_path / "seen.csv", [(e.input, e.answer) for e in own.train[:12]])
    card = workspace.evaluate(expert, workspace.test_on(expert, seen), options=EvalOptions(base_rows_max=4))
    assert card.leaks.exact == 12
    assert card.verdict.outcome is Outcome.VOID


def test_rows_that_were_learned_before_the_own_ones_void_the_score_and_are_found_by_an_audit(workspace, expert):
    pairs = [{"prompt": f"{text}, please", "chosen": label, "rejected": "no"} for text, label in ROWS]
    polite = workspace.train("tickets", pairs, base="tiny", options=QUICK)
    other = [{"text": f"{word} my order {n}", "label": word} for n in range(15) for word in ("cancel", "repeat")]
    child = workspace.train("orders", other, base="tiny", options=QUICK, parent=polite.version)
    own = workspace.own_dataset(polite)
    learned = [example.input for example in own.train[:8]] + [one.place.input for one in own.preferences.train[:8]]
    seen = [{"text": text, "label": "cancel"} for text in learned]
    card = workspace.evaluate(child, workspace.test_on(child, seen), options=EvalOptions(base_rows_max=4))
    assert card.leaks.exact == 16
    assert card.verdict.outcome is Outcome.VOID
    overlaps = {found.expert: len(found.exact) for found in workspace.audit(other, test=seen).overlaps}
    assert overlaps == {"tickets": 16, "orders": 16}


def test_a_run_is_not_continued_on_another_base(workspace, table, expert, tmp_path):
    workspace.bases.pull(str(write_folder(tmp_path / "second", seed=9, max_position_embeddings=512)), name="second")
    other = workspace.train("elsewhere", table, base="second", options=QUICK)
    assert other.version.training["run"] != expert.version.training["run"]
    assert other.version.dataset_hash == expert.version.dataset_hash


def test_an_evaluation_that_fails_does_not_cost_the_training(workspace, table, monkeypatch):
    options = TrainOptions(rank=2, epochs=1, evaluation=EvalOptions(base_rows_max=4))

    def broken(*_: object, **__: object) -> None:
        raise StoreError("The disk is full.", fix="Free some space.")

    with monkeypatch.context() as patch:
        patch.setattr("chiliad.workspace.proof.prove", broken)
        with pytest.raises(StoreError):
            workspace.train("tickets", table, base="tiny", options=options)
    with pytest.raises(ExpertNotFound):
        workspace.expert("tickets")
    expert = workspace.train("tickets", table, base="tiny", options=options)
    assert expert.ref.number == 1
    assert expert.card is not None
    assert workspace.expert("tickets").ref == expert.ref


def test_corrections_are_read_by_the_columns_of_the_training_table(workspace):
    rows = [{"subj": text, "memo": f"note {n}", "verdict": label} for n, (text, label) in enumerate(ROWS)]
    columns = {"input": ["subj", "memo"], "output": "verdict"}
    workspace.train("notes", rows, base="tiny", options=QUICK, **columns)
    fixed = [{"verdict": "damage", "memo": "dented", "subj": "box 500 came flat"}]
    corrected = workspace.correct("notes", fixed, options=QUICK)
    inputs = {example.input for example in workspace.own_dataset(corrected).train}
    assert "subj: box 500 came flat\nmemo: dented" in inputs


def test_what_one_expert_lacks_does_not_keep_the_others_from_being_served(workspace, table, expert, tmp_path):
    workspace.bases.pull(str(write_folder(tmp_path / "second", seed=9, max_position_embeddings=512)), name="second")
    workspace.train("elsewhere", table, base="second", options=QUICK)
    workspace.bases.remove("second")
    with Workspace.open(workspace.settings) as opened:
        service = opened.service()
        assert {model.id for model in service.models()} == {"tickets", "tiny"}
        (expert.folder / "card.json").write_text("no card")
        assert next(model for model in service.models() if model.id == "tickets").description == ""
        with pytest.raises(BaseNotFound):
            service.load("second")


def test_what_is_told_of_an_expert_without_a_card_is_read_once_until_it_has_one(workspace, expert, monkeypatch):
    service, reads, dataset = workspace.service(bases=("tiny",)), [], workspace.dataset
    monkeypatch.setattr(workspace, "dataset", lambda digest: reads.append(digest) or dataset(digest))

    def told():
        model = service.resolve("tickets")
        return model.description, model.example

    without = told()
    assert (without[0], without[1] in {text for text, _ in ROWS}, told()) == ("", True, without)
    card = workspace.evaluate(expert)
    assert told() == (card.verdict.line, without[1])
    assert len(reads) == 2, "the evaluation's own, and one"


def test_an_expert_deleted_while_the_list_is_made_is_left_out(workspace, table, expert):
    workspace.train("elsewhere", table, base="tiny", options=QUICK)
    service = workspace.service(bases=("tiny",))
    live = service._live()
    workspace.registry.delete_expert("elsewhere")
    assert [service._listed(version.name, version) is None for version in live] == [True, False]
    assert {model.id for model in service.models()} == {"tickets", "tiny"}


def test_half_a_character_is_a_bad_request_and_a_file_name_that_is_not_utf8_is_none(workspace, table, expert):
    with pytest.raises(BadRequest):
        expert("where is \udcff")
    odd = table.rename(table.with_name("t\udcff.csv"))
    assert workspace.train("other", odd, base="tiny", options=QUICK).ref.number == 1


def test_a_rested_workspace_answers_as_before_and_holds_no_engine_meanwhile(workspace, expert):
    answer = expert("where is box 7")
    engine = weakref.ref(expert.served.engine)
    workspace.rest()
    gc.collect()
    assert engine() is None
    assert expert("where is box 7") == answer
