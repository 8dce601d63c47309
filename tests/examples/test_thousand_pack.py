"""The whole way in small, on a tiny base: eight tasks drawn, trained, scored, packed, installed and asked."""

from dataclasses import replace

import fresh
import pytest
from shards import Amount, chosen, shards
from tasks.catalogue import all_tasks
from tasks.task import rows_of

from chiliad.adapters import AdapterKind
from chiliad.errors import UnusableData
from chiliad.registry.pack import open_pack
from chiliad.workspace import TrainOptions, Workspace
from chiliad.workspace.packing import pack

FAMILIES = ("order", "person", "sum", "divisible")


@pytest.fixture(params=[AdapterKind.LORA, AdapterKind.SHARED_BASIS])
def plan(scripts, request):
    build, _ = scripts
    options = TrainOptions(kind=request.param, rank=2, epochs=1, baselines=False)
    return build.Plan(8, FAMILIES, Amount(train=40, test=12), shard=3, base="tiny", options=options)


@pytest.fixture
def workspace(settings):
    with Workspace.open(settings) as opened:
        yield opened


def test_eight_experts_go_all_the_way(scripts, plan, workspace, settings, table, tmp_path, capsys):
    build, demo = scripts
    report = build.build(workspace, plan)
    told = capsys.readouterr().out
    assert [line.split(":")[0] for line in told.splitlines()] == ["shard-01", "shard-02", "shard-03"]
    assert "8 of 8 experts done" in told
    assert not report.failed
    assert {outcome.family for outcome in report.outcomes} == set(FAMILIES)
    assert all(outcome.proof.rows == 12 for outcome in report.outcomes)

    again = build.build(workspace, plan)
    assert again.outcomes == report.outcomes
    assert all(len(workspace.registry.versions(outcome.name)) == 1 for outcome in again.outcomes)

    shares = fresh.on_fresh_rows(workspace, report.outcomes, plan.tasks)
    fresh.write(shares, plan.tasks, tmp_path / "fresh.csv")
    assert len((tmp_path / "fresh.csv").read_text().splitlines()) == 9
    for task in plan.tasks:
        rows = rows_of(task, train=0, test=fresh.ROWS, seed=fresh.SEED).test
        alone = [workspace.ask(task.name, text) == answer for text, answer in rows]
        assert shares[task.name].expert.per_example == tuple(map(float, alone))

    out = tmp_path / "pack.zip"
    outcomes = fresh.with_proofs(report.outcomes, shares)
    assert pack(workspace, outcomes, out, title="eight", samples=4).experts == 8
    with open_pack(out) as found:
        scores = {name: share.expert.value for name, share in shares.items()}
        assert {expert.name: expert.worth.score for expert in found.experts} == scores
        assert all(len(expert.samples) == 4 for expert in found.experts)

    with Workspace.open(replace(settings, workspace=tmp_path / "theirs")) as theirs:
        findings = demo.run(theirs, out, table)
        assert (findings.experts, findings.requests, findings.same_answers) == (9, 9, 9)
        assert findings.scored_rows == 9 * 4
        expert = report.outcomes[0].name
        text = found.experts[0].samples[0][0]
        assert theirs.ask(expert, text) == workspace.ask(expert, text)


def test_the_demo_fails_when_what_it_claims_does_not_hold(scripts):
    _, demo = scripts
    good = demo.Findings(**dict.fromkeys(demo.Findings.__dataclass_fields__, 1) | {"score": 0.9, "score_shuffled": 0.1})
    demo.check(good)
    for bad in (replace(good, same_answers=0), replace(good, score_shuffled=0.9)):
        with pytest.raises(SystemExit, match="The demo failed"):
            demo.check(bad)


def test_the_demo_starts_with_a_pack_and_a_workspace_of_its_own(scripts, tmp_path, monkeypatch):
    _, demo = scripts
    monkeypatch.setattr(
        "sys.argv", ["demo.py", "--workspace", f"{tmp_path / 'ws'}", "--pack", f"{tmp_path / 'none.zip'}"]
    )
    with pytest.raises(SystemExit, match=r"none\.zip"):
        demo.main()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    monkeypatch.setattr("sys.argv", ["demo.py", "--workspace", str(tmp_path / "mine")])
    with pytest.raises(SystemExit, match="not a workspace"):
        demo.main()
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep me"


def test_a_build_asks_for_a_free_place_before_it_trains_for_hours(scripts, tmp_path, monkeypatch):
    build, _ = scripts
    taken = tmp_path / "pack.zip"
    taken.write_text("keep me")
    monkeypatch.setattr("sys.argv", ["build.py", "--workspace", f"{tmp_path / 'ws'}", "--out", f"{taken}"])
    with pytest.raises(SystemExit, match=r"pack\.zip exists"):
        build.main()
    assert taken.read_text() == "keep me"
    assert not (tmp_path / "ws").exists()


def test_any_number_of_tasks_is_a_mixture_of_families():
    tasks = all_tasks()
    few = chosen(tasks, 32)
    assert len({task.family for task in few}) >= 30
    assert chosen(tasks, 64)[:32] == few
    assert [len(own) for _, own in shards(few, 10)] == [10, 10, 10, 2]
    with pytest.raises(UnusableData, match="no family 'cooking'"):
        chosen(tasks, None, ["cooking"])
    assert {task.family for task in chosen(tasks, None, ["sum"])} == {"sum"}
