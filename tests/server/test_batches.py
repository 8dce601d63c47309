"""`/v1/batches` as the openai client uses it: requests in a file, answers in another, done by the real worker."""

import json
import resource
import subprocess
import sys
from dataclasses import replace

import openai
import pytest

from chiliad.errors import StoreError
from chiliad.server.batch_answers import ANSWERS_FILE, Answers, folder_of
from chiliad.server.batch_run import do_batch
from chiliad.store import GroupBy, JobState, Limits, Role, Wish
from chiliad.workspace import SilentReporter, Workspace
from chiliad.workspace.worker import Stopped
from tests.server.platform import json_lines, serving, with_hosted_names, work
from tests.tiny import environment

CHAT = "/v1/chat/completions"


@pytest.fixture
def settings(settings):
    return with_hosted_names(settings)


@pytest.fixture
def client(settings):
    with serving(settings) as served, served.openai() as client:
        yield client


def request(custom_id, text="hi", *, url=CHAT, **body):
    turns = {"messages": [{"role": "user", "content": text}]} if url == CHAT else {"prompt": text}
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": url,
        "body": {"model": "gpt-4o", "max_tokens": 4, **turns, **body},
    }


def create(client, rows, endpoint=CHAT, purpose="batch", **options):
    file = client.files.create(file=("requests.jsonl", json_lines(rows)), purpose=purpose)
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **options)


def lines(client, file_id):
    return {line["custom_id"]: line for line in map(json.loads, client.files.content(file_id).text.splitlines())}


def test_a_batch_answers_what_the_server_would_answer(client, settings):
    rows = [request(f"r{n}", f"hello {n}") for n in range(40)]
    rows[7]["body"]["model"] = "nobody"
    batch = create(client, rows, metadata={"night": "1"})
    completions = create(client, [request("c", "once", url="/v1/completions")], endpoint="/v1/completions")
    assert (batch.status, batch.request_counts.total, batch.output_file_id) == ("validating", 40, None)
    work(settings)

    done = client.batches.retrieve(batch.id)
    assert (done.status, done.metadata, done.errors) == ("completed", {"night": "1"}, None)
    counts = done.request_counts
    assert (counts.total, counts.completed, counts.failed) == (40, 39, 1)
    answers = lines(client, done.output_file_id)
    used = [answer["response"]["body"]["usage"] for answer in answers.values()]
    assert done.usage.input_tokens == sum(usage["prompt_tokens"] for usage in used)
    assert done.usage.output_tokens == sum(usage["completion_tokens"] for usage in used) > 0
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens
    assert set(answers) == {f"r{n}" for n in range(40)} - {"r7"}
    online = client.chat.completions.create(**rows[3]["body"])
    assert answers["r3"]["response"]["body"]["choices"][0]["message"]["content"] == online.choices[0].message.content
    [error] = lines(client, done.error_file_id).values()
    assert (error["response"]["status_code"], error["response"]["body"]["error"]["code"]) == (404, "model_not_found")
    assert client.files.retrieve(done.output_file_id).purpose == "batch_output"

    listed = list(client.batches.list(limit=1))
    assert [one.id for one in listed] == [completions.id, batch.id]
    assert list(lines(client, listed[0].output_file_id)) == ["c"]


def test_a_batch_is_billed_to_the_key_that_submitted_it(settings):
    with serving(settings) as served:
        made = served.accounts.keys.create("night", role=Role.MEMBER)
        with served.openai(api_key=made.secret) as client:
            done, late = create(client, [request("a"), request("b")]), create(client, [request("c")])
            with Workspace.open(settings) as workspace:
                job = workspace.jobs.lease("w")
                with do_batch(workspace, job) as result:
                    workspace.jobs.succeed(job.id, "w", result)
            assert client.batches.retrieve(done.id).request_counts.completed == 2
        sums = served.accounts.ledger.sums(GroupBy.KEY)
        assert [(total.of, total.answers) for total in sums] == [(made.key.id, 2)]
        served.accounts.keys.revoke(made.key.id)
        work(settings)
        with served.openai(api_key=served.accounts.keys.create("day", role=Role.VIEWER).secret) as viewer:
            failed = viewer.batches.retrieve(late.id)
        assert (failed.status, failed.request_counts.completed) == ("failed", 0)
        assert "revoked" in failed.errors.data[0].message


def test_a_batch_is_cancelled_while_it_waits(client):
    batch = create(client, [request("a")])
    cancelled = client.batches.cancel(batch.id)
    assert (cancelled.status, cancelled.output_file_id) == ("cancelled", None)
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_0")


def test_the_worker_of_the_command_line_does_batches(client, settings):
    batch = create(client, [request("a", model="tiny")])
    command = (sys.executable, "-m", "chiliad", "worker", "--until-idle")
    subprocess.run(command, env=environment(settings), check=True, timeout=600)
    assert client.batches.retrieve(batch.id).request_counts.completed == 1


@pytest.fixture
def narrow(settings):
    """An engine in which few can wait."""
    return replace(settings, engine=replace(settings.engine, queue_max=16, batch_max=1))


def test_a_batch_never_loses_a_request_to_its_own_queue(client, narrow):
    batch = create(client, [request(f"r{n}", n=8) for n in range(4)])
    work(narrow)
    done = client.batches.retrieve(batch.id)
    assert (done.request_counts.completed, done.error_file_id) == (4, None)


def test_a_request_for_which_there_is_never_a_place_ends(client, narrow):
    batch = create(client, [request("many", n=128), request("one")])
    work(narrow)
    done = client.batches.retrieve(batch.id)
    assert list(lines(client, done.output_file_id)) == ["one"]
    assert lines(client, done.error_file_id)["many"]["response"]["body"]["error"]["code"] == "overloaded"


def test_what_its_key_cannot_pay_for_is_refused_at_once(settings):
    with serving(settings) as served:
        made = served.accounts.keys.create("night", role=Role.MEMBER, limits=Limits(spend_per_month=1e-9))
        with served.openai(api_key=made.secret) as client:
            batch = create(client, [request("a")])
            work(settings)
            done = client.batches.retrieve(batch.id)
            assert lines(client, done.error_file_id)["a"]["response"]["body"]["error"]["code"] == "insufficient_quota"


class Impatient(SilentReporter):
    """Wishes something at the second look."""

    looks = 0

    def __init__(self, wish=Wish.CANCEL):
        self.wish = wish

    def stage(self, doing, done, total):
        self.looks += 1
        if self.looks == 2:
            raise Stopped(self.wish)


def test_a_batch_that_is_cancelled_on_the_way_keeps_its_answers(client, settings):
    batch = create(client, [request(f"r{n}") for n in range(40)])
    with Workspace.open(settings, reporter=Impatient()) as workspace:
        job = workspace.jobs.lease("w")
        assert client.batches.cancel(batch.id).status == "cancelling"
        with pytest.raises(Stopped), do_batch(workspace, job):
            pass
        workspace.jobs.stop(job.id, "w", Wish.CANCEL)
    cancelled = client.batches.retrieve(batch.id)
    assert cancelled.status == "cancelled"
    assert 0 < len(lines(client, cancelled.output_file_id)) < 40


def test_a_database_that_is_away_is_nobodys_answer(settings, monkeypatch):
    def away(*_, **__):
        raise StoreError("The database is away.", fix="Wait.")

    with serving(settings) as served, Workspace.open(settings) as workspace:
        made = served.accounts.keys.create("night", role=Role.MEMBER, limits=Limits(spend_per_month=50.0))
        with served.openai(api_key=made.secret) as client:
            batch = create(client, [request(f"r{n}") for n in range(40)])
            job = workspace.jobs.lease("w")
            with monkeypatch.context() as patch:
                patch.setattr(workspace.accounts.budgets, "reserve", away)
                with pytest.raises(StoreError, match="is away"), do_batch(workspace, job):
                    pass
            with do_batch(workspace, job) as result:
                workspace.jobs.succeed(job.id, "w", result)
            done = client.batches.retrieve(batch.id)
    assert (done.request_counts.completed, done.error_file_id) == (40, None)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("in_time", [True, False])
def test_a_batch_whose_end_was_not_recorded_is_not_asked_again(client, settings, in_time):
    create(client, [request("a"), request("b")])
    with Workspace.open(settings) as workspace:
        job = workspace.jobs.lease("w")
        clock = (lambda: 0.0) if in_time else (lambda: job.document["expires_s"])
        with pytest.raises(Killed), do_batch(workspace, job, clock) as first:
            raise Killed
        kept = Answers(folder_of(workspace, job) / ANSWERS_FILE).done
        with do_batch(workspace, job, clock) as again:
            workspace.jobs.succeed(job.id, "w", again)
        assert kept == {"a", "b"}
        assert again == first
        assert again["expired"] is not in_time
        assert not folder_of(workspace, job).exists()


def paused(jobs, job):
    jobs.stop(job.id, "w", Wish.PAUSE)


def laid_down(jobs, job):
    jobs.stop(job.id, "w", None)


def died(jobs, job):
    jobs.cancel(job.id)
    jobs.keep(job.id, "w", lease_s=-1)
    assert jobs.lease("other") is None


def failed(jobs, job):
    jobs.fail(job.id, "w", {"cause": "The key is revoked.", "fix": "Make another.", "code": "key_not_found"})


@pytest.mark.parametrize("left", [paused, laid_down, died, failed])
def test_a_batch_that_ends_while_no_worker_has_it_keeps_its_answers(client, settings, left):
    batch = create(client, [request(f"r{n}") for n in range(40)])
    with Workspace.open(settings, reporter=Impatient(Wish.PAUSE)) as workspace:
        job = workspace.jobs.lease("w")
        with pytest.raises(Stopped), do_batch(workspace, job):
            pass
        left(workspace.jobs, job)
    if left is not failed:
        client.batches.cancel(batch.id)
    ended = client.batches.retrieve(batch.id)
    assert ended.status == ("failed" if left is failed else "cancelled")
    assert 0 < len(lines(client, ended.output_file_id)) < 40
    client.files.delete(ended.output_file_id)
    assert client.batches.retrieve(batch.id).output_file_id is None, "it does not come back"


def test_what_is_not_answered_in_time_expires(client, settings):
    batch = create(client, [request("a"), request("b")])
    with Workspace.open(settings) as workspace:
        job = workspace.jobs.lease("w")
        with do_batch(workspace, job, clock=lambda: job.document["expires_s"]) as result:
            assert (result["total"], result["completed"], result["failed"], result["expired"]) == (2, 0, 2, True)
            workspace.jobs.succeed(job.id, "w", result)
        assert workspace.jobs.get(job.id).state is JobState.SUCCEEDED
    expired = client.batches.retrieve(batch.id)
    assert expired.status == "expired"
    assert {line["error"]["code"] for line in lines(client, expired.error_file_id).values()} == {"batch_expired"}


def test_answers_survive_a_worker_that_is_killed_in_the_middle_of_one(tmp_path):
    path = tmp_path / "answers.jsonl"
    answers = Answers(path)
    body = {"usage": {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}}
    answers.add([{"custom_id": "a", "response": {"status_code": 200, "body": body}, "error": None}])
    answers.add([{"custom_id": "b", "response": None, "error": {"code": "x"}}])
    with path.open("ab") as file:
        file.write(b'{"custom_id": "c", "respo')
    again = Answers(path)
    assert (again.done, again.failed) == ({"a", "b"}, {"b"})
    assert (again.usage["input_tokens"], again.usage["output_tokens"]) == (3, 2)
    again.add([{"custom_id": "c", "response": {"status_code": 400}, "error": None}])
    assert [json.loads(line)["custom_id"] for line in again.lines(failed=True)] == ["b", "c"]
    assert [json.loads(line)["custom_id"] for line in again.lines(failed=False)] == ["a"]


def test_answers_are_never_written_again_when_a_batch_goes_on(tmp_path):
    path = tmp_path / "answers.jsonl"
    Answers(path).add([{"custom_id": "a", "response": None, "error": {"code": "x"}}])
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, limit[1]))  # as on a full disk, nothing more can be written
    try:
        assert Answers(path).done == {"a"}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert Answers(path).done == {"a"}


@pytest.mark.parametrize(
    ("rows", "options", "cause", "param"),
    [
        ([request("a")], {"endpoint": "/v1/moderations"}, "not supported", "endpoint"),
        ([request("a")], {"endpoint": "/v1/embeddings"}, "Row 1 is for", "input_file_id"),
        ([request("a"), request("a")], {}, "Row 2 has a custom_id", "input_file_id"),
        ([{"custom_id": "a"}], {}, "Row 1 is no request: method", "input_file_id"),
        ([request("a", stream=True)], {}, "Row 1 wants a stream", "input_file_id"),
        ([request("a")], {"purpose": "evals"}, "uploaded for evals", "input_file_id"),
    ],
)
def test_a_file_that_is_no_batch_is_refused_with_its_row(client, rows, options, cause, param):
    with pytest.raises(openai.BadRequestError, match=cause) as error:
        create(client, rows, **options)
    assert error.value.param == param
