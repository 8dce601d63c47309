"""`/v1/fine_tuning/jobs` as the openai client uses it: upload, train by the real worker, call the model."""

import csv
import io
import shutil
from contextlib import nullcontext
from dataclasses import replace

import openai
import pytest

from chiliad.errors import JobConflict
from chiliad.store import Purpose
from chiliad.workspace import Workspace
from chiliad.workspace.fine_tuning import FineTuning, submit
from tests.server.platform import chat, json_lines, serving, with_hosted_names, work
from tests.tiny import ROWS

TRAIN = json_lines([chat(text, label) for text, label in ROWS])
QUICK = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1, "batch_size": 8}}}


@pytest.fixture
def settings(settings):
    return with_hosted_names(settings)


@pytest.fixture
def platform(settings):
    with serving(settings) as served:
        yield served


@pytest.fixture
def client(platform):
    with platform.openai() as client:
        yield client


@pytest.fixture
def training_file(client):
    return upload(client).id


def upload(client, content=TRAIN, purpose="fine-tune"):
    return client.files.create(file=("train.jsonl", content), purpose=purpose)


def create(client, training_file, **options):
    return client.fine_tuning.jobs.create(
        **{"model": "gpt-4o-mini-2024-07-18", "training_file": training_file, "method": QUICK, **options}
    )


def ask(client, model, text="where is box 3"):
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])


def pair(text, chosen, rejected):
    return {
        "input": {"messages": [{"role": "user", "content": text}], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [{"role": "assistant", "content": chosen}],
        "non_preferred_output": [{"role": "assistant", "content": rejected}],
    }


def test_from_a_file_to_a_model_that_answers(client, settings, training_file):
    job = create(client, training_file, suffix="Box desk", metadata={"team": "a"}, seed=7)
    assert (job.object, job.status, job.model, job.fine_tuned_model) == ("fine_tuning.job", "queued", "tiny", None)
    assert client.fine_tuning.jobs.checkpoints.list(job.id).data == []
    client.files.delete(training_file)  # frozen when the job was created
    work(settings)

    done = client.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.error, done.seed, done.metadata) == ("succeeded", None, 7, {"team": "a"})
    assert done.fine_tuned_model == f"ft:tiny:local:box-desk:{job.id.removeprefix('ftjob-')}"
    assert done.trained_tokens > 0
    assert done.finished_at >= done.created_at
    assert (done.hyperparameters.n_epochs, done.hyperparameters.batch_size) == (1, 8)

    answer = ask(client, done.fine_tuned_model)
    assert answer.choices[0].message.content in {"status", "refund", "damage"}
    assert answer.model == "box-desk@1"
    assert ask(client, "box-desk").choices[0].message == answer.choices[0].message
    listed = {model.id: model for model in client.models.list()}
    assert {done.fine_tuned_model, "box-desk", "tiny"} <= set(listed)
    assert client.models.retrieve(done.fine_tuned_model).root == "box-desk@1"
    assert (settings.workspace / "experts" / "box-desk" / "1" / "card.json").is_file()

    [checkpoint] = client.fine_tuning.jobs.checkpoints.list(job.id)
    assert checkpoint.fine_tuned_model_checkpoint == done.fine_tuned_model
    assert checkpoint.metrics.valid_loss > 0
    content = client.files.content(done.result_files[0]).text
    rows = list(csv.DictReader(io.StringIO(content)))
    assert rows[-1]["step"] == str(checkpoint.step_number)
    assert float(rows[-1]["valid_loss"]) == pytest.approx(checkpoint.metrics.valid_loss)


def test_events_come_newest_first_and_page_by_page(client, settings, training_file):
    job = create(client, training_file)
    work(settings)
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=3))
    assert [events[0].message, events[-1].message] == ["Done.", "Queued."]
    assert len({event.id for event in events}) == len(events)
    metrics = [event for event in events if event.type == "metrics"]
    assert metrics[-1].data["train_loss"] > 0
    assert any("valid_loss" in event.data for event in metrics)
    other = create(client, training_file)
    with pytest.raises(openai.BadRequestError):
        client.fine_tuning.jobs.list_events(other.id, after=events[0].id)


def test_jobs_are_listed_steered_and_found_by_metadata(client, training_file):
    first, second, third = (create(client, training_file, metadata={"n": str(n)}) for n in range(3))
    assert [job.id for job in client.fine_tuning.jobs.list(limit=2)] == [third.id, second.id, first.id]
    assert [job.id for job in client.fine_tuning.jobs.list(metadata={"n": "1"})] == [second.id]
    assert client.fine_tuning.jobs.pause(first.id).status == "paused"
    assert client.fine_tuning.jobs.resume(first.id).status == "queued"
    cancelled = client.fine_tuning.jobs.cancel(first.id)
    assert (cancelled.status, cancelled.finished_at is None) == ("cancelled", False)
    with pytest.raises(openai.ConflictError) as error:
        client.fine_tuning.jobs.resume(first.id)
    assert error.value.code == "job_conflict"
    with pytest.raises(openai.NotFoundError) as error:
        client.fine_tuning.jobs.retrieve("ftjob-0000")
    assert error.value.code == "job_not_found"


def test_the_same_key_gives_the_same_job(client, training_file):
    key = {"extra_headers": {"Idempotency-Key": "k"}}
    job = create(client, training_file, **key)
    client.files.delete(training_file)
    assert create(client, training_file, **key).id == job.id
    with pytest.raises(openai.ConflictError):
        create(client, training_file, suffix="other", **key)


@pytest.mark.parametrize("other_suffix", [None, "other"])
def test_one_key_sent_twice_at_the_same_time_is_one_job(settings, monkeypatch, other_suffix):
    """The other submission comes while the rows of this one are frozen."""
    first = []
    with Workspace.open(settings) as workspace:
        file = workspace.files.add("train.jsonl", Purpose.FINE_TUNE, iter([TRAIN]))
        asked = FineTuning("gpt-4o-mini-2024-07-18", file.id)
        assign = workspace.assign

        def assign_after_another(*given, **more):
            monkeypatch.setattr(workspace, "assign", assign)
            first.append(submit(workspace, replace(asked, suffix=other_suffix), key="k"))
            return assign(*given, **more)

        monkeypatch.setattr(workspace, "assign", assign_after_another)
        with nullcontext() if other_suffix is None else pytest.raises(JobConflict):
            assert submit(workspace, asked, key="k") == first[0]
        assert workspace.jobs.page() == first


def test_validation_rows_are_the_test_and_never_trained_on(client, platform, settings, training_file):
    tests = [chat(f"is parcel {n} here", "status") for n in range(6)] + [
        chat(f"refund {n}", "refund") for n in range(6)
    ]
    validation = upload(client, json_lines([*tests, chat(*ROWS[0])]))
    job = create(client, training_file, validation_file=validation.id, suffix="v")
    assert job.validation_file == validation.id
    work(settings)
    with Workspace.open(settings) as workspace:
        dataset = workspace.own_dataset(workspace.expert("v"))
    assert len(dataset.test) == 13
    assert ROWS[0][0] not in {example.input for example in dataset.train}


def test_every_weighted_turn_of_a_conversation_is_learned_and_the_conversation_stays_together(client, settings):
    rows = [chat(f"hello {n}", f"hi {n}", f"bye {n}", f"ciao {n}") for n in range(30)]
    for row in rows[:10]:
        row["messages"][1]["weight"] = 0
    job = create(client, upload(client, json_lines(rows)).id, suffix="talk")
    with Workspace.open(settings) as workspace:
        [known] = workspace.jobs.page()
        dataset = workspace.dataset(known.document["dataset"])
    parts = [dataset.train, dataset.dev, dataset.test]
    assert sum(len(part) for part in parts) == 50
    groups = [{example.group for example in part if example.group} for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 20
    assert job.id.removeprefix("ftjob-") == known.id.removeprefix("job-")


@pytest.mark.parametrize(
    ("options", "code", "param"),
    [
        ({"method": {"type": "dpo"}}, "invalid_training_file", "training_file"),
        (
            {"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0}}}},
            "invalid_value",
            "method.dpo.hyperparameters.beta",
        ),
        ({"method": {"type": "reinforcement"}}, "unsupported_feature", "method.type"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "unsupported_feature", "integrations"),
        ({"hyperparameters": {"n_epochs": 0}, "method": None}, "invalid_value", "hyperparameters.n_epochs"),
        ({"suffix": "x" * 65}, "invalid_value", "suffix"),
        ({"suffix": "base"}, "invalid_value", "suffix"),
        ({"training_file": "file-nothing"}, "invalid_training_file", "training_file"),
        ({"validation_file": "file-nothing"}, "invalid_validation_file", "validation_file"),
        ({"metadata": {"k": "v" * 513}}, "invalid_value", "metadata.k"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(client, training_file, options, code, param):
    with pytest.raises(openai.BadRequestError) as error:
        create(client, **{"training_file": training_file, **options})
    assert (error.value.code, error.value.param) == (code, param)
    assert client.fine_tuning.jobs.list().data == []


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        ([chat("a", "b")], "1 different rows"),
        ([{"messages": [{"role": "user", "content": "a"}]}], "no assistant message"),
        ([{**chat("a", "b"), "tools": [{"type": "function"}]}], "row 1 has tools"),
        ([chat("a", "b", weight=0)], "weight 0"),
        ([chat("a", "b", weight=0.5)], "weight 0.5"),
        ([pair("a", "b", "c")], "Ask for the method dpo"),
        ([{"x": 1}], "not clear"),
    ],
)
def test_rows_that_teach_nothing_are_refused_with_their_number(client, rows, cause):
    with pytest.raises(openai.BadRequestError, match=cause) as error:
        create(client, upload(client, json_lines(rows)).id)
    assert (error.value.code, error.value.param) == ("invalid_training_file", "training_file")


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        ([chat("a", "b")], "states no preferences"),
        ([pair("a", "b", "c"), pair("a", "b", "b")], "row 2: preferred_output and non_preferred_output are the same"),
        ([pair("a", "b", "")], "row 1: non_preferred_output is empty"),
        ([pair("a", "b", "c")], "1 different preferences"),
    ],
)
def test_rows_that_state_no_preference_are_refused_with_their_number(client, rows, cause):
    with pytest.raises(openai.BadRequestError, match=cause) as error:
        create(client, upload(client, json_lines(rows)).id, method={"type": "dpo"})
    assert (error.value.code, error.value.param) == ("invalid_training_file", "training_file")


def test_a_file_for_another_purpose_and_an_unknown_base_are_refused(client, training_file):
    with pytest.raises(openai.BadRequestError, match="uploaded for evals"):
        create(client, upload(client, purpose="evals").id)
    with pytest.raises(openai.NotFoundError) as error:
        create(client, training_file, model="claude")
    assert error.value.code == "model_not_found"


def test_hosted_names_answer_and_say_who_answered(client):
    assert ask(client, "gpt-4o-mini-2024-07-18").model == "tiny"
    model = client.models.retrieve("gpt-3.5-turbo")
    assert (model.id, model.root) == ("gpt-3.5-turbo", "tiny")
    with pytest.raises(openai.NotFoundError):
        ask(client, "claude")
    with pytest.raises(openai.NotFoundError):
        ask(client, "ft:tiny:local:none:1")


def test_training_continues_from_a_fine_tuned_model_and_tests_nothing_that_it_knows(client, settings, training_file):
    first = create(client, training_file, suffix="desk")
    work(settings)
    model = client.fine_tuning.jobs.retrieve(first.id).fine_tuned_model
    news = [chat(f"parcel {n} is late", "status") for n in range(20)] + [chat(f"pay {n}", "refund") for n in range(20)]
    again = create(client, upload(client, json_lines(news) + TRAIN).id, model=model, suffix="shop")
    assert again.model == model
    work(settings)
    done = client.fine_tuning.jobs.retrieve(again.id)
    assert (done.status, done.fine_tuned_model.split(":")[1]) == ("succeeded", "tiny")
    with Workspace.open(settings) as workspace:
        before, after = workspace.expert("desk"), workspace.expert("shop")
        learned = workspace.own_dataset(before)
        known = {example.input: example.answer for example in (*learned.train, *learned.dev)}
        assert not known.keys() & {example.input for example in workspace.own_dataset(after).test}
        assert (after.version.training["continued_from"], after.version.parent) == ("desk@1", None)
    same = upload(client, json_lines([chat(text, label) for text, label in known.items()])).id
    with pytest.raises(openai.BadRequestError, match="too few to test on"):
        create(client, same, model=model, suffix="other")
    with pytest.raises(openai.BadRequestError, match="learned every row"):
        create(client, training_file, model=done.fine_tuned_model, validation_file=same, suffix="other")
    with pytest.raises(openai.NotFoundError):
        create(client, training_file, model="ft:tiny:local:none:1")


def test_preferences_continue_a_fine_tuned_model(client, settings, training_file):
    first = create(client, training_file, suffix="desk")
    work(settings)
    model = client.fine_tuning.jobs.retrieve(first.id).fine_tuned_model
    rows = [pair(f"where is crate {n}", "status", "refund") for n in range(15)]
    rows += [pair(f"pay me for {n}", "refund", "status") for n in range(15)]
    method = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2, "n_epochs": 1, "batch_size": "auto"}}}
    job = create(client, upload(client, json_lines(rows)).id, model=model, suffix="desk", method=method)
    assert (job.method.type, job.method.dpo.hyperparameters.beta) == ("dpo", 0.2)
    assert (job.model, job.method.supervised) == (model, None)
    work(settings)
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.error) == ("succeeded", None)
    assert done.method.dpo.hyperparameters.n_epochs == 1
    with Workspace.open(settings) as workspace:
        before, after = workspace.expert("desk@1"), workspace.expert("desk@2")
        told = after.version.training
        assert (told["method"], told["beta"], told["continued_from"]) == ("dpo", 0.2, "desk@1")
        assert workspace.own_dataset(after).test == workspace.own_dataset(before).test
    content = client.files.content(done.result_files[0]).text
    assert float(list(csv.DictReader(io.StringIO(content)))[-1]["valid_exact"]) <= 1
    automatic = create(client, upload(client, json_lines(rows)).id, model=model, suffix="desk", method={"type": "dpo"})
    assert automatic.method.dpo.hyperparameters.beta == "auto"


def test_a_fine_tuned_model_is_deleted(client, settings, training_file):
    job = create(client, training_file, suffix="desk")
    work(settings)
    name = client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model
    gone = client.models.delete(name)
    assert (gone.id, gone.object, gone.deleted) == (name, "model", True)
    for model in (name, "desk"):
        with pytest.raises(openai.NotFoundError):
            ask(client, model)
    with pytest.raises(openai.NotFoundError):
        client.models.delete(name)
    with pytest.raises(openai.BadRequestError, match="begin with ft:"):
        client.models.delete("tiny")
    assert client.fine_tuning.jobs.checkpoints.list(job.id).data == []


def test_a_job_that_fails_says_why(client, settings, training_file):
    job = create(client, training_file)
    shutil.rmtree(settings.workspace / "datasets")
    work(settings)
    failed = client.fine_tuning.jobs.retrieve(job.id)
    assert (failed.status, failed.fine_tuned_model, failed.error.code) == ("failed", None, "unreadable_file")
    assert client.fine_tuning.jobs.list_events(job.id).data[0].level == "error"
