"""A forecast on a tiny base: its trainings, what is left of them after a stop, and what it says."""

from dataclasses import replace

import pytest

from chiliad.errors import UnusableData
from chiliad.metrics import Expected, Interval, Measured, PairedTest
from chiliad.workspace.forecast import Forecast, Outlook, Prompted
from chiliad.workspace.forecast.small_runs import small_runs
from chiliad.workspace.progress import SilentReporter
from tests.tiny import QUICK, ROWS, write_table


def test_small_trainings_outlive_a_stop_and_go_when_the_forecast_is_there(workspace, table):
    expert = workspace.train("tickets", table, base="tiny", options=QUICK)
    hashes = []

    def stopped():
        with small_runs(workspace, expert, SilentReporter()) as (_, runs):
            hashes.extend(run.expert.version.adapter_hash for run in runs)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    with small_runs(workspace, expert, SilentReporter()) as (_, runs):
        assert [run.expert.version.adapter_hash for run in runs] == hashes
        assert [run.expert.version.number for run in runs] == [1] * 5
        assert len(set(hashes)) == 5
        rows = len(workspace.own_dataset(expert).train)
        assert [run.rows for run in runs] == [rows // 8] * 2 + [rows // 4] * 2 + [rows // 2]
        assert all(run.expert.version.choices == expert.version.choices for run in runs)
    assert not list((workspace.folder / "runs").glob("forecast-*"))
    assert [one.name for one in workspace.registry.experts()] == ["tickets"]

    found = workspace.forecast("tickets", more=40)
    assert [run.rows for run in found.measured] == [rows // 8] * 2 + [rows // 4] * 2 + [rows // 2, rows]
    assert [one.expected.rows for one in found.outlooks] == sorted([rows + 40, 2 * rows, 5 * rows, 10 * rows])
    assert f"{rows + 40} training rows instead of {rows}" in found.sentence
    assert found.now.score == workspace.score(workspace.expert("tickets"), workspace.own_dataset(expert).test)
    assert found.prompted.test.delta == pytest.approx(found.now.score - found.prompted.score)
    seconds = [one.train_seconds for one in found.outlooks]
    assert seconds == sorted(seconds)
    page = found.to_html()
    assert page.count('class="dot"') == 6
    assert found.sentence in page
    assert "://" not in page
    assert not list((workspace.folder / "runs").glob("forecast-*"))


def test_too_few_rows_are_refused_before_anything_is_trained(workspace, tmp_path):
    workspace.train("tickets", write_table(tmp_path / "t.csv", ROWS[14:34]), base="tiny", options=QUICK)
    with pytest.raises(UnusableData, match="too few to learn from parts"):
        workspace.forecast("tickets")


def test_what_learned_more_than_its_examples_is_refused_before_anything_is_trained(workspace, table, tmp_path):
    first = workspace.train("tickets", table, base="tiny", options=QUICK)
    rows = write_table(tmp_path / "t.csv", [(f"{text}, please", label) for text, label in ROWS])
    workspace.train("polite", rows, base="tiny", options=QUICK, parent=first.version)
    with pytest.raises(UnusableData, match="also what tickets@1 learned"):
        workspace.forecast("polite")
    pairs = [{"prompt": text, "chosen": label, "rejected": "no"} for text, label in ROWS]
    workspace.train("preferring", pairs, base="tiny", options=QUICK)
    with pytest.raises(UnusableData, match="also preferences"):
        workspace.forecast("preferring")
    assert not list((workspace.folder / "runs").glob("forecast-*"))


def forecast(now, middle, low, high):
    outlook = Outlook(Expected(2000, middle, Interval(low, high)), None)
    far = Outlook(Expected(9000, 0.99, Interval(0.98, 1.0)), None)
    measured = (Measured(1000, now, 0.2, 100),)
    return Forecast("tickets@1", "accuracy", 100, measured, (outlook, far), 2000, prompted(0.2, 0.001))


def prompted(delta, p_value):
    return Prompted(5, 5, 0.5, PairedTest(delta, p_value, delta - 0.1, delta + 0.1, 100, "McNemar's exact test"))


@pytest.mark.parametrize(
    ("made", "begins"),
    [
        (forecast(0.7, 0.8, 0.75, 0.85), "More rows are worth it: 2,000 training rows instead of 1,000"),
        (forecast(0.7, 0.75, 0.69, 0.8), "More rows will probably help"),
        (forecast(0.7, 0.705, 0.69, 0.72), "More rows of the same kind will hardly help"),
    ],
)
def test_what_is_said_about_more_rows(made, begins):
    assert made.sentence.startswith(begins)
    assert "70.0 %" in made.sentence


@pytest.mark.parametrize(
    ("delta", "p_value", "ends"),
    [
        (0.2, 0.001, "and the expert 70.0 %: examples in the prompt do not do."),
        (0.05, 0.3, "and the expert 55.0 %: no proof that training is needed."),
        (-0.2, 0.001, "and the expert only 30.0 %: examples in the prompt do."),
    ],
)
def test_what_is_said_about_a_prompt(delta, p_value, ends):
    made = prompted(delta, p_value)
    assert made.sentence == f"5 examples in the prompt of the base model score 50.0 % on 100 test rows {ends}"
    assert replace(made, shots_min=0, shots=3).sentence.startswith("0 to 3 examples in the prompt of")
