"""The Python API in a notebook: bars without widgets, data frames, and answers awaited in the notebook's own loop."""

import os
import sys

import pytest

from chiliad.training import StepEvent
from chiliad.workspace.notebook import REFRESH_S, NotebookReporter, in_notebook
from tests.tiny import environment

FRAME = 'pd.DataFrame(ROWS, columns=["text", "label"])'
CELLS = (
    "import asyncio, chiliad, pandas as pd\nfrom tests.tiny import ROWS, QUICK\nws = chiliad.open()",
    f'expert = ws.train("tickets", {FRAME}, base="tiny", options=QUICK)',
    'expert("where is box 3")',
    'await expert.acall("where is box 3")',
    'await asyncio.gather(*(expert.acall("where is box 3") for _ in range(9)))',
    f'ws.train("tickets", {FRAME}, base="tiny", output="verdict")',
)


class Screen:
    def __init__(self):
        self.places = []

    def __call__(self):
        self.places.append([])
        return self.places[-1].append


def test_lines_are_rewritten_in_place_and_not_too_often():
    now, screen = [0.0], Screen()
    with NotebookReporter(screen, lambda: now[0]) as reporter:
        for step in range(1, 101):
            reporter.step(StepEvent("x", 0, 2, step, 200, 1.5, 1000.0, 75.0))
            now[0] += REFRESH_S / 10
        reporter.stage("expert", 0, 40)
        reporter.stage("expert", 40, 40)
    with reporter:
        reporter.stage("small embedder", 0, 0)
    first, second = screen.places
    assert 10 <= len(first) <= 14
    training, expert = first[-1].splitlines()
    assert training == "training  " + "█" * 12 + "░" * 12 + " epoch 1/2 · loss 1.500 · 1000 tokens/s · 1 min 15 s left"
    assert expert == "expert    " + "█" * 24 + " 40/40"
    assert second[-1] == "small embedder"


def test_a_test_runs_in_no_notebook():
    assert not in_notebook()


@pytest.mark.filterwarnings("ignore")
def test_in_a_real_kernel(settings, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    for name, value in environment(settings, PYTHONPATH=os.pathsep.join(filter(None, sys.path))).items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", allow_errors=True).execute()
    opened, trained, called, awaited, gathered, failed = ([*cell.outputs] for cell in notebook.cells)
    assert opened == []
    (shown,) = trained
    assert "epoch 1/1" in shown.data["text/plain"]
    assert "dev loss" in shown.data["text/plain"]
    answer = called[0].data["text/plain"]
    assert awaited[0].data["text/plain"] == answer
    assert gathered[0].data["text/plain"].count(answer) == 9
    assert failed[-1].ename == "ColumnsNotFound"
