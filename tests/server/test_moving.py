"""examples/from_openai/move.py: out of one server that speaks OpenAI's API, and into another."""

import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.server.platform import chat, json_lines, serving, with_hosted_names, work
from tests.server.test_evals import EXACT, create, sampled
from tests.tiny import ROWS

SCRIPT = Path(__file__).parents[2] / "examples" / "from_openai" / "move.py"
QUICK = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1, "batch_size": 8}}}


@pytest.fixture(scope="module")
def move():
    spec = importlib.util.spec_from_file_location("move", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def theirs(settings):
    return with_hosted_names(settings)


@pytest.fixture
def ours(settings, tmp_path):
    return with_hosted_names(replace(settings, workspace=tmp_path / "ours"))


def upload(client, rows, purpose):
    return client.files.create(file=(f"{purpose}.jsonl", json_lines(rows)), purpose=purpose).id


def test_models_and_evals_move_with_their_rows_and_once_only(move, theirs, ours, tmp_path, capsys):
    folder, sleep = tmp_path / "theirs", lambda _: work(ours)
    with serving(theirs) as served, served.openai() as client:
        file = upload(client, [chat(text, label) for text, label in ROWS], "fine-tune")
        job = client.fine_tuning.jobs.create(model="gpt-4o", training_file=file, suffix="desk", method=QUICK)
        work(theirs)
        model = client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model
        rows = [{"item": {"input": text, "wanted": label}} for text, label in ROWS[:3]]
        kept, lost = upload(client, rows, "evals"), upload(client, rows, "evals")
        made = create(client, EXACT, name="boxes", metadata={"team": "a"})
        for name, source in (("kept", kept), ("lost", lost)):
            source = sampled({"type": "file_id", "id": source}, model=model)
            client.evals.runs.create(made.id, name=name, data_source=source)
        work(theirs)
        client.files.delete(lost)
        move.save(client, folder)

    with serving(ours) as served, served.openai() as client:
        move.Move(client, folder, sleep).load()
        told = capsys.readouterr().out.splitlines()[-2:]
        moved = json.loads((folder / "moved.json").read_text())
        assert moved[model].startswith("ft:tiny:local:desk:")
        assert client.evals.retrieve(moved[made.id]).metadata == {"team": "a"}
        for line, name in zip(told, ("kept", "lost"), strict=True):
            assert line.split()[:2] == ["boxes,", name]
            assert re.search(r" \d of 3 +\d of 3 ", line), "rows were counted there and here"
            assert line.endswith(moved[model])
        counted = len(list(client.evals.list())), len(list(client.fine_tuning.jobs.list()))

        move.Move(client, folder, sleep).load(model="tiny")
        assert (len(list(client.evals.list())), len(list(client.fine_tuning.jobs.list()))) == counted == (1, 1)


def test_what_cannot_be_moved_is_named_and_the_rest_goes_on(move, theirs, tmp_path, capsys):
    python = {"type": "python", "name": "code", "source": "def grade(sample, item): return 1.0"}
    config = {"type": "custom", "schema": {"type": "object"}}
    asked = {"name": "e", "metadata": None, "created_at": 1, "data_source_config": config}
    saved = {
        "files": [{"id": "file-1", "created_at": 1, "filename": "a.jsonl", "purpose": "fine-tune"}],
        "jobs": [
            {"created_at": 1, "fine_tuned_model": "ft:a:b:c:d", "training_file": "file-1", "validation_file": None}
        ],
        "evals": [{**asked, "id": "eval_1", "testing_criteria": [python]}],
        "runs": [{"id": "run_1", "created_at": 1, "status": "completed", "eval_id": "eval_1", "data_source": {}}],
    }
    saved["jobs"][0]["model"] = "gpt-4o"
    saved["evals"].append({**asked, "id": "eval_2", "testing_criteria": [EXACT]})
    for name, things in saved.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(things))
    with serving(theirs) as served, served.openai() as client:
        move.Move(client, tmp_path).load()
        [left] = client.evals.list()
    told = capsys.readouterr().out
    assert "file-1 is left out: it could not be read" in told
    assert "ft:a:b:c:d is left out: file-1 was left out" in told
    assert "eval_1 is left out: Graders of the type 'python' are not supported" in told
    assert "run_1 is left out: eval_1 was left out" in told
    assert f"eval_2 is {left.id} here" in told
