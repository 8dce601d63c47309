"""From an answer over the real server to feedback, a decision, the next version behind its gate, and suggestions."""

import math
import shutil
import time
from dataclasses import replace

import pytest

from chiliad.config import AnswerSettings, Settings
from chiliad.store import Role
from chiliad.workspace import Workspace
from tests.server.platform import serving, work
from tests.tiny import QUICK, write_table

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def trained(_cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    table = write_table(folder / "tickets.csv")
    with Workspace.open(Settings.load(environ={}, workspace=folder / "ws", cache_dir=_cache, threads=1)) as workspace:
        workspace.train("tickets", table, base="tiny", options=QUICK)
    return folder / "ws"


@pytest.fixture
def settings(settings, trained):
    shutil.copytree(trained, settings.workspace)
    return settings


@pytest.fixture
def platform(settings):
    with serving(settings) as served:
        yield served


@pytest.fixture
def http(platform):
    with platform.http() as http:
        yield http


def ask(http, text="where is box 3", model="tickets", **options):
    body = {"model": model, "messages": [{"role": "user", "content": text}], "store": True, **options}
    reply = http.post(CHAT, json=body)
    assert reply.status_code == 200, reply.text
    return reply


def answer_of(http, text="where is box 3", **options):
    return ask(http, text, **options).json()["id"]


def give(http, answer_id, **said):
    return http.post("/v1/feedback", json={"answer_id": answer_id, **said})


def reviewed(http, **query):
    return [item["id"] for item in http.get("/v1/review", params=query).json()["data"]]


def correct_wrongly(http, number):
    """A correction that the answer is not equal to, whatever it is."""
    answered = ask(http, f"the lid of crate {number} came off").json()
    wanted = next(label for label in ("damage", "refund") if label != answered["choices"][0]["message"]["content"])
    reply = give(http, answered["id"], demonstration=wanted)
    assert reply.status_code == 201, reply.text
    return reply.json()


def test_an_answer_is_kept_when_the_request_says_so(http):
    reply = ask(http, metadata={"ticket": "7"}).json()
    kept = http.get(f"/v1/review/{reply['id']}").json()
    assert kept["messages"] == [{"role": "user", "content": "where is box 3"}]
    assert kept["answer"] == reply["choices"][0]["message"]["content"]
    assert reply["choices"][0]["logprobs"] is None, "what is measured for ourselves is not told"
    assert (kept["model"], kept["expert"], kept["metadata"]) == ("tickets@1", "tickets", {"ticket": "7"})
    assert 0 < kept["certainty"] < 1
    assert set(kept["choices"]) == {"status", "refund", "damage"}


@pytest.mark.parametrize(
    ("keep", "store", "kept"), [(False, None, 0), (True, None, 1), (True, False, 0), (False, True, 1)]
)
def test_the_request_has_the_last_word_and_the_setting_the_first(settings, keep, store, kept):
    with serving(replace(settings, answers=AnswerSettings(keep=keep))) as served, served.http() as http:
        ask(http, store=store)
        assert len(reviewed(http)) == kept


def test_each_choice_and_each_stream_is_kept(http):
    several = answer_of(http, n=2, temperature=1, seed=1)
    assert set(reviewed(http)) == {several, f"{several}.1"}
    streamed = ask(http, stream=True).text
    assert '"logprobs":null' in streamed
    newest = reviewed(http, order="newest")[0]
    assert newest in streamed
    assert http.get(f"/v1/review/{newest}").json()["answer"] in {"status", "refund", "damage"}


def test_a_continued_text_is_kept_like_a_chat(http):
    body = {"model": "tickets", "prompt": ["the lid", "box 3"], "n": 2, "max_tokens": 3, "store": True}
    reply = http.post("/v1/completions", json={**body, "echo": True, "metadata": {"a": "b"}}).json()
    kept = [http.get(f"/v1/review/{reply['id']}{place}").json() for place in ("", ".1", ".2", ".3")]
    assert [one["messages"][0]["content"] for one in kept] == ["the lid", "the lid", "box 3", "box 3"]
    texts = [choice["text"] for choice in reply["choices"]]
    assert [one["messages"][0]["content"] + one["answer"] for one in kept] == texts
    assert all(choice["logprobs"] is None for choice in reply["choices"])
    assert kept[0]["metadata"] == {"a": "b"}
    assert 0 < kept[0]["certainty"] < 1


def test_a_streamed_text_is_kept_and_a_score_of_a_prompt_is_not(http):
    body = {"model": "tickets", "prompt": "box 3", "store": True}
    http.post("/v1/completions", json={**body, "max_tokens": 0, "echo": True, "logprobs": 1})
    assert reviewed(http) == []
    streamed = http.post("/v1/completions", json={**body, "max_tokens": 3, "stream": True}).text
    [kept] = reviewed(http)
    assert kept in streamed
    assert give(http, kept, boolean=True).status_code == 201


@pytest.mark.parametrize(("keep", "store", "kept"), [(False, None, 0), (True, None, 1), (True, False, 0)])
def test_a_continued_text_follows_the_setting_too(settings, keep, store, kept):
    with serving(replace(settings, answers=AnswerSettings(keep=keep))) as served, served.http() as http:
        http.post("/v1/completions", json={"model": "tiny", "prompt": "x", "max_tokens": 2, "store": store})
        assert len(reviewed(http)) == kept


def test_certainty_is_that_of_the_least_certain_token(http):
    reply = ask(http, model="tiny", max_tokens=4, logprobs=True).json()
    [choice] = reply["choices"]
    assert choice["finish_reason"] == "length", "or a token that is not shown would count, too"
    least = min(token["logprob"] for token in choice["logprobs"]["content"])
    assert http.get(f"/v1/review/{reply['id']}").json()["certainty"] == pytest.approx(math.exp(least))


def test_feedback_of_every_kind_is_recorded_and_orders_the_queue(http):
    first, second = answer_of(http), answer_of(http, "money back for 5")
    said = {"boolean": False, "score": 0.25, "comment": "no", "outcome": False}
    given = give(http, first, **said).json()
    assert said.items() <= given.items()
    assert given["decided"] is None
    item, _ = http.get("/v1/review", params={"order": "disagreement"}).json()["data"]
    assert (item["id"], item["disagreement"]) == (first, 1.0)
    assert said.items() <= item["feedback"][0].items()
    assert second in reviewed(http)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"answer_id": "chatcmpl-none", "boolean": True}, 404, "answer_not_found"),
        ({"boolean": True}, 400, "missing_required_parameter"),
        ({"answer_id": "KEPT"}, 400, "feedback"),
        ({"answer_id": "KEPT", "boolean": "perhaps"}, 400, "invalid_value"),
        ({"answer_id": "KEPT", "score": 2}, 400, "invalid_value"),
        ({"answer_id": "KEPT", "thumbs": 1}, 400, "invalid_value"),
        ({"answer_id": "KEPT", "demonstration": "  "}, 400, "feedback"),
        ({"answer_id": "KEPT", "comment": "\0"}, 400, "invalid_value"),
    ],
)
def test_what_cannot_be_said_is_refused_and_not_recorded(http, body, status, code):
    kept = answer_of(http)
    reply = http.post("/v1/feedback", json={**body, **({"answer_id": kept} if body.get("answer_id") == "KEPT" else {})})
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert http.get(f"/v1/review/{kept}").json()["feedback"] == []


def test_a_reviewer_decides_and_may_change_their_mind(http):
    answer_id = answer_of(http)
    corrected = http.post(f"/v1/review/{answer_id}", json={"decision": "correct", "answer": "other"}).json()
    assert (corrected["answer"]["decision"], corrected["answer"]["wanted"]) == ("correct", "other")
    assert reviewed(http) == []
    text = corrected["answer"]["answer"]
    same = http.post(f"/v1/review/{answer_id}", json={"decision": "correct", "answer": f" {text} "}).json()
    assert same["answer"]["decision"] == "accept", "a correction that changes nothing accepts"
    assert http.post(f"/v1/review/{answer_id}", json={"decision": "correct"}).status_code == 400
    dismissed = http.post(f"/v1/review/{answer_id}", json={"decision": "dismiss"}).json()
    assert dismissed["answer"]["wanted"] is None
    assert http.get("/v1/corrections").json()["data"] == []


def test_an_answer_is_deleted_and_all_are_purged(http):
    first, second = answer_of(http), answer_of(http)
    assert http.delete(f"/v1/review/{first}").json()["deleted"]
    assert http.get(f"/v1/review/{first}").status_code == 404
    assert http.delete("/v1/review").status_code == 400, "when has to be said"
    assert http.delete("/v1/review", params={"before": time.time() - 60}).json()["answers"] == 0
    assert http.delete("/v1/review", params={"before": time.time() + 60}).json()["answers"] == 1
    assert http.get(f"/v1/review/{second}").status_code == 404


def test_from_corrections_to_a_dataset_a_job_and_a_version_that_has_learned_them(http, settings):
    inputs = {correct_wrongly(http, number)["decided"]["answer"]["messages"][0]["content"] for number in range(4)}
    accepted = answer_of(http, "box 77 is where")
    http.post(f"/v1/review/{accepted}", json={"decision": "accept"})
    [standing] = http.get("/v1/corrections").json()["data"]
    assert (standing["expert"], standing["corrected"], standing["accepted"], standing["waiting"]) == (
        "tickets",
        4,
        1,
        4,
    )

    made = http.post("/v1/corrections/tickets/dataset").json()
    assert made["corrections"] == 4
    queued = http.post("/v1/corrections/tickets/retrain")
    assert (queued.status_code, queued.json()["state"]) == (202, "queued")
    assert http.post("/v1/corrections/tickets/retrain").json() == queued.json(), "once is enough"
    assert http.get("/v1/corrections/tickets").json()["waiting"] == 0
    work(settings)

    done = http.get("/v1/corrections/tickets").json()["retraining"]
    assert (done["job_id"], done["state"]) == (queued.json()["job_id"], "succeeded"), done["error"]
    assert done["result"]["expert"] == "tickets@2"
    with Workspace.open(settings) as workspace:
        version = workspace.registry.get("tickets@2")
        dataset = workspace.own_dataset(workspace.expert("tickets@2"))
        before = workspace.own_dataset(workspace.expert("tickets@1"))
    assert (version.parent, version.training["corrections"], dataset.hash) == (1, 4, made["hash"])
    assert dataset.test == before.test, "the gate compares on the rows that it always had"
    learned = {example.input for example in dataset.train} - {example.input for example in before.train}
    assert learned == {*inputs, "box 77 is where"}
    assert (settings.workspace / "experts" / "tickets" / "2" / "card.json").is_file()
    assert ask(http).json()["model"] == ("tickets@2" if done["result"]["live"] else "tickets@1")


def test_answers_that_were_called_good_or_bad_teach_the_next_version(http, settings):
    refused = http.post("/v1/corrections/tickets/prefer")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unusable_data")
    for number in range(24):
        give(http, answer_of(http, f"where is trunk {number}"), boolean=number % 2 == 0)
    even, dismissed = (answer_of(http, f"where is bag {number}") for number in range(2))
    for said in (True, False):
        give(http, even, boolean=said)
    give(http, dismissed, boolean=True)
    http.post(f"/v1/review/{dismissed}", json={"decision": "dismiss"})
    queued = http.post("/v1/corrections/tickets/prefer")
    assert queued.status_code == 202
    assert http.post("/v1/corrections/tickets/prefer").json() == queued.json(), "once is enough"
    work(settings)
    with Workspace.open(settings) as workspace:
        assert workspace.jobs.get(queued.json()["job_id"]).error is None
        version = workspace.registry.get("tickets@2")
        stated = workspace.dataset(version.dataset_hash).preferences
    assert (version.training["method"], version.training["continued_from"]) == ("kto", "tickets@1")
    asked = [one.messages[-1].content for part in (stated.train, stated.dev, stated.test) for one in part]
    assert sorted(asked) == sorted(f"where is trunk {number}" for number in range(24))
    assert sum(one.chosen is not None for one in (*stated.train, *stated.dev, *stated.test)) == 12


def test_the_rule_retrains_once_for_each_number_of_corrections(http, settings):
    rule = http.put("/v1/corrections/tickets/rule", json={"after": 3}).json()
    assert (rule["rule"], rule["waiting"]) == ({"after": 3}, 0)
    begun = [correct_wrongly(http, number)["decided"]["retraining"] for number in range(7)]
    assert [job is not None for job in begun] == [False, False, True, False, False, True, False]
    with Workspace.open(settings) as workspace:
        jobs = workspace.jobs.page(kind="correct", newest_first=False)
    assert [job.id for job in jobs] == [begun[2]["job_id"], begun[5]["job_id"]]
    assert [len(job.document["corrections"]["used"]) for job in jobs] == [3, 6]
    assert http.delete("/v1/corrections/tickets/rule").json()["rule"] is None
    assert http.put("/v1/corrections/nobody/rule", json={"after": 3}).status_code == 404
    assert http.put("/v1/corrections/tickets/rule", json={"after": 0}).status_code == 400


def test_a_rule_ends_without_a_live_version_and_with_its_expert(http, settings):
    rule = "/v1/corrections/tickets/rule"
    http.put(rule, json={"after": 3})
    with Workspace.open(settings) as workspace:
        workspace.registry.delete(workspace.registry.get("tickets").ref, force=True)
    assert http.put(rule, json={"after": 4}).status_code == 404
    ours = {"Origin": str(http.base_url).rstrip("/")}
    assert http.post("/review/experts/tickets/rule", data={"after": ""}, headers=ours).status_code == 303
    assert http.get("/v1/corrections").json()["data"] == []
    assert http.delete(rule).json()["rule"] is None


def test_an_expert_takes_its_rule_along(http, settings):
    http.put("/v1/corrections/tickets/rule", json={"after": 3})
    with Workspace.open(settings) as workspace:
        workspace.registry.delete_expert("tickets")
    assert http.get("/v1/corrections").json()["data"] == []
    assert http.get("/v1/corrections/tickets").status_code == 404
    assert http.delete("/v1/corrections/tickets/rule").json()["rule"] is None


def test_what_cannot_be_learned_is_told_to_whoever_asks_and_waits(http, settings):
    assert http.post("/v1/corrections/tickets/retrain").json()["error"]["code"] == "unusable_data"
    with Workspace.open(settings) as workspace:
        tested = workspace.own_dataset(workspace.expert("tickets")).test[0].input
    http.put("/v1/corrections/tickets/rule", json={"after": 1})
    answer_id = answer_of(http, tested)
    decided = http.post(f"/v1/review/{answer_id}", json={"decision": "correct", "answer": "other"}).json()
    assert decided["retraining"] is None
    refused = http.post("/v1/corrections/tickets/retrain")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unusable_data")
    assert http.get("/v1/corrections/tickets").json()["waiting"] == 1


def test_an_app_proposes_a_member_decides_and_projects_do_not_see_each_other(platform):
    def client(project, role):
        secret = platform.accounts.keys.create("k", role=role, project=project).secret
        return platform.http(headers={"Authorization": f"Bearer {secret}"})

    with (
        client("shop", Role.APP) as app,
        client("shop", Role.MEMBER) as member,
        client("desk", Role.MEMBER) as stranger,
        client("desk", Role.ADMIN) as admin,
    ):
        answer_id = answer_of(app)
        assert give(app, answer_id, demonstration="other").json()["decided"] is None
        assert reviewed(member) == reviewed(admin) == [answer_id]
        assert reviewed(stranger) == []
        for reply in (
            give(stranger, answer_id, boolean=True),
            stranger.get(f"/v1/review/{answer_id}"),
            stranger.post(f"/v1/review/{answer_id}", json={"decision": "dismiss"}),
            stranger.delete(f"/v1/review/{answer_id}"),
        ):
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "answer_not_found")
        assert stranger.delete("/v1/review", params={"before": time.time() + 60}).json()["answers"] == 0
        assert give(member, answer_id, demonstration="other").json()["decided"]["answer"]["decision"] == "correct"
        assert [one["corrected"] for one in admin.get("/v1/corrections").json()["data"]] == [1]
        assert stranger.get("/v1/corrections").json()["data"] == []
        assert stranger.post("/v1/corrections/tickets/retrain").status_code == 400


def test_requests_that_nothing_serves_well_are_suggested_and_purged_like_any_other(http, settings):
    assert http.get("/v1/suggestions").json() == {"object": "list", "data": [], "searched": False}
    leave = [f"how many days of holiday are left in {month}" for month in ("May", "June", "July", "August", "March")]
    asked = [answer_of(http, text, model="tiny", max_tokens=2) for text in [*leave, leave[0]]]
    answer_of(http, "write a poem about rain", model="tiny", max_tokens=2)
    praised = answer_of(http, "holiday left in October", model="tiny", max_tokens=2)
    give(http, praised, boolean=True)
    assert http.post("/v1/suggestions").status_code == 202
    work(settings)
    [suggestion] = http.get("/v1/suggestions").json()["data"]
    assert (suggestion["requests"], suggestion["different"]) == (6, 5)
    assert set(suggestion["examples"]) == set(leave)
    assert set(suggestion["answer_ids"]) == set(asked)
    http.delete(f"/v1/review/{asked[0]}")
    [suggestion] = http.get("/v1/suggestions").json()["data"]
    assert suggestion["requests"] == 5
    http.delete("/v1/review", params={"before": time.time() + 60})
    assert http.get("/v1/suggestions").json() == {"object": "list", "data": [], "searched": True}
