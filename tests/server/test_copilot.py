"""The co-pilot's routes over a real server and engine: the expert's answers are scripted, all else is as it is."""

import sqlite3
from collections import deque
from contextlib import closing
from dataclasses import replace

import pytest

from chiliad.config import Settings
from chiliad.store import Limits, Role
from chiliad.workspace import Workspace
from tests.server.conftest import running
from tests.server.served import EngineService
from tests.store.test_read_only import make

RIGHT = "SELECT weight FROM letters WHERE pieces = 2"
ADMIN = "sk-of-the-copilot"


class ScriptedService(EngineService):
    """The engine is left one answer to give: the next of the script. Whatever it is asked is noted."""

    def __init__(self, base):
        super().__init__(base)
        self.script = deque()
        self.asked = []

    def start(self, model, prompt, sampling, on_event, **options):
        self.asked.append((self.tokenizer.decode(list(prompt)), options["grammar"]))
        scripted = replace(model, labels=(self.script.popleft(),))
        return super().start(scripted, prompt, sampling, on_event, keep_to_choices=True, share=options["share"])


@pytest.fixture(scope="module")
def service(base):
    service = ScriptedService(base)
    yield service
    service.close()


@pytest.fixture
def workspace(tmp_path, _cache):
    with Workspace.open(Settings.load(environ={}, workspace=tmp_path / "ws", cache_dir=_cache)) as workspace:
        yield workspace


@pytest.fixture
def server(service, workspace, tmp_path):
    service.script.clear()
    service.asked.clear()
    make(tmp_path / "post.db")
    with running(service, workspace=workspace, api_key=ADMIN) as server:
        yield server


@pytest.fixture
def http(server, tmp_path):
    with server.http(headers={"Authorization": f"Bearer {ADMIN}"}) as http:
        added = http.post("/v1/copilot/databases", files={"file": ("post.db", (tmp_path / "post.db").read_bytes())})
        assert added.status_code == 201, added.text
        yield http


def draft(http, **fields):
    body = {"model": "tickets", "database": "post.db", "question": "How heavy are two?", **fields}
    return http.post("/v1/copilot/drafts", json=body)


def test_databases_are_listed_and_their_tables_told(http):
    (database,) = http.get("/v1/copilot/databases").json()["data"]
    assert (database["id"], database["object"]) == ("post.db", "copilot.database")
    tables = {table["name"]: table for table in http.get("/v1/copilot/databases/post.db").json()["tables"]}
    assert {"name": "weight", "type": "number"} in tables["letters"]["columns"]
    assert http.delete("/v1/copilot/databases/post.db").json()["deleted"] is True
    assert http.get("/v1/copilot/databases/post.db").status_code == 404


def test_a_query_is_drafted_and_run(http, service):
    service.script.append(RIGHT)
    drafted = draft(http).json()
    assert (drafted["sql"], drafted["problem"], drafted["model"]) == (RIGHT, None, "tickets@2")
    assert drafted["result"]["rows"] == [[3.0]]
    assert len(drafted["usage"]) == 1
    ((asked, grammar),) = service.asked
    assert 'letters(sender, "on day", weight number, pieces number, seal, note)\nHow heavy are two?' in asked
    assert grammar is None


def test_an_error_goes_back_to_the_expert_by_itself(http, service, workspace):
    wrong = "SELECT heft FROM letters WHERE pieces = 2"
    service.script.extend([wrong, RIGHT])
    drafted = draft(http).json()
    assert drafted["sql"] == RIGHT
    assert drafted["tries"] == [{"sql": wrong, "problem": "no such column: heft"}, {"sql": RIGHT, "problem": None}]
    assert f"Tried: {wrong}\nBut: no such column: heft" in service.asked[1][0]
    kept = workspace.feedback.answers.get(drafted["id"], project=None)
    assert kept.text == wrong, "feedback is about what should have been right at first"


def test_an_expert_that_never_gets_it_right_is_stopped(http, service):
    service.script.extend(f"SELECT c{n} FROM letters" for n in range(9))
    drafted = draft(http).json()
    assert (len(drafted["tries"]), drafted["result"], drafted["problem"]) == (3, None, "no such column: c0")


def test_a_guided_draft_is_kept_to_the_tables(http, service):
    service.script.append(RIGHT)
    assert draft(http, guided=True).status_code == 200
    assert "weight" in service.asked[0][1].source


def test_a_database_that_is_too_wide_to_be_kept_to_is_refused_guided(http, service, tmp_path):
    wide = tmp_path / "wide.db"
    with closing(sqlite3.connect(wide)) as connection:
        for table in range(100):
            connection.execute(f"CREATE TABLE t{table} ({', '.join(f'column_{n} TEXT' for n in range(40))})")
    http.post("/v1/copilot/databases", files={"file": ("wide.db", wide.read_bytes())}).raise_for_status()
    refused = draft(http, database="wide.db", guided=True)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "guided")
    assert not service.asked


def test_what_is_accepted_and_what_is_mended_is_feedback(http, service, workspace):
    service.script.extend(["SELECT heft FROM letters", RIGHT])
    answer_id = draft(http).json()["id"]
    given = http.post("/v1/feedback", json={"answer_id": answer_id, "demonstration": RIGHT}).json()
    assert given["decided"]["answer"]["decision"] == "correct"
    assert workspace.feedback.item(answer_id, project=None).answer.wanted == RIGHT


def test_the_ledger_has_every_try(http, service):
    service.script.extend(["SELECT heft FROM letters", RIGHT])
    drafted = draft(http).json()
    total = http.get("/v1/costs").json()["total"]
    asked = sum(used["prompt_tokens"] for used in drafted["usage"])
    assert (total["requests"], total["prompt_tokens"]) == (2, asked)


def test_a_draft_tells_what_it_cost_and_what_is_left_of_the_limits(server, http, service):
    made = server.accounts.keys.create("few", role=Role.MEMBER, limits=Limits(requests_per_minute=9))
    service.script.extend(["SELECT heft FROM letters", RIGHT, RIGHT])
    with server.http(headers={"Authorization": f"Bearer {made.secret}", "Origin": server.url}) as few:
        drafted = draft(few)
        form = {"expert": "tickets", "database": "post.db", "question": "How heavy are two?"}
        shown = few.post("/copilot/draft", data=form)
    costs = [usage["cost"] for usage in drafted.json()["usage"]]
    assert float(drafted.headers["x-chiliad-cost"]) == pytest.approx(sum(costs), abs=1e-8)
    left = [int(reply.headers["x-ratelimit-remaining-requests"]) for reply in (drafted, shown)]
    assert left == [7, 6]


def test_one_runs_ones_own_query_which_only_reads(http, tmp_path):
    ran = http.post(
        "/v1/copilot/queries", json={"database": "post.db", "sql": "SELECT note, seal FROM letters LIMIT 1"}
    )
    assert (ran.json()["columns"], ran.json()["rows"]) == (["note", "seal"], [[None, "x'00ff'"]])
    for sql, code in (("DELETE FROM letters", "query_refused"), ("SELECT x FROM letters", "query_failed")):
        refused = http.post("/v1/copilot/queries", json={"database": "post.db", "sql": sql})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)
    assert (tmp_path / "ws" / "databases" / "post.db").read_bytes() == (tmp_path / "post.db").read_bytes()


@pytest.mark.parametrize("name", ["nothing.db", "chiliad.db", "x"])
def test_only_what_is_in_the_folder_is_a_database(http, name):
    assert http.get(f"/v1/copilot/databases/{name}").status_code == 404
    assert http.delete(f"/v1/copilot/databases/{name}").status_code == 404
    assert draft(http, database=name).status_code == 404


@pytest.mark.parametrize("name", ["../chiliad.db", "/etc/passwd", "..%2fchiliad.db", "", "a\x00.db", "x" * 200 + ".db"])
def test_a_path_is_no_name(http, name):
    assert draft(http, database=name).status_code == 400
    assert http.post("/v1/copilot/queries", json={"database": name, "sql": "SELECT 1"}).status_code == 400


@pytest.mark.parametrize(
    ("name", "content"), [("x.db", b"hello"), ("../../x.db", None), ("x.txt", None), ("post.db", None), ("", None)]
)
def test_what_cannot_be_a_database_is_not_kept(http, tmp_path, name, content):
    content = (tmp_path / "post.db").read_bytes() if content is None else content
    reply = http.post("/v1/copilot/databases", files={"file": (name, content)})
    assert reply.status_code == 400, reply.text
    assert [path.name for path in (tmp_path / "ws" / "databases").iterdir()] == ["post.db"]


def test_an_app_may_not_look_at_databases(server, http):
    secret = server.accounts.keys.create("a", role=Role.APP).secret
    with server.http(headers={"Authorization": f"Bearer {secret}"}) as app:
        assert app.get("/v1/copilot/databases").status_code == 403
        assert draft(app).status_code == 403
