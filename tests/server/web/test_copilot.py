"""The co-pilot's page, without a browser and in one: the expert's answers are scripted, all else is as it is."""

import re
import sqlite3
from contextlib import closing

import pytest

from chiliad.config import Settings
from chiliad.workspace import Workspace
from tests.server.conftest import running
from tests.server.test_copilot import RIGHT, ScriptedService
from tests.server.web.conftest import ADMIN, EVIL
from tests.store.test_read_only import make

WRONG = "SELECT heft FROM letters WHERE pieces = 2"
WAIT_MS = 120_000


@pytest.fixture(scope="module")
def service(base):
    service = ScriptedService(base)
    yield service
    service.close()


@pytest.fixture
def workspace(tmp_path, _cache):
    with Workspace.open(Settings.load(environ={}, workspace=tmp_path / "ws", cache_dir=_cache)) as workspace:
        make(tmp_path / "post.db")
        workspace.databases.add("post.db", [(tmp_path / "post.db").read_bytes()], bytes_max=1 << 20)
        yield workspace


@pytest.fixture
def server(service, workspace):
    service.script.clear()
    with running(service, workspace=workspace, api_key=ADMIN) as server:
        yield server


@pytest.fixture
def http(server):
    headers = {"Authorization": f"Bearer {ADMIN}", "Origin": server.url, "Accept": "text/html", "HX-Request": "true"}
    with server.http(headers=headers) as http:
        yield http


def draft(http):
    return http.post("/copilot/draft", data={"expert": "tickets", "database": "post.db", "question": "How heavy?"})


def test_what_an_expert_and_a_database_say_is_never_markup(http, service):
    service.script.extend([EVIL, "SELECT '<img src=x>' AS \"<b>x\" FROM letters LIMIT 1"])
    page = draft(http).text
    assert "&lt;script&gt;" in page
    assert "&lt;img src=x&gt;" in page
    assert not re.search(r"<script>|<img|<b>x|60481729", page)


def test_a_database_is_added_by_its_form(http, workspace, tmp_path):
    content = (tmp_path / "post.db").read_bytes()
    added = http.post("/copilot/databases", files={"file": ("more.db", content)})
    assert (added.status_code, added.headers["location"]) == (303, "/copilot?database=more.db")
    assert [file.name for file in workspace.databases.all()] == ["more.db", "post.db"]
    for name in ("../x.db", "post.db", "x.txt"):
        assert http.post("/copilot/databases", files={"file": (name, content)}).status_code == 400


def test_a_broken_database_leaves_the_others_to_be_chosen(http, workspace):
    (workspace.folder / "databases" / "a.db").write_text("hello")
    for path in ("/copilot", "/copilot/tables?database=a.db"):
        assert "a.db is no SQLite database" in http.get(path).text
    assert "letters" in http.get("/copilot?database=post.db").text
    assert http.get("/copilot/tables?database=../chiliad.db").status_code == 404


@pytest.mark.parametrize("sql", ["DELETE FROM letters", "SELECT x FROM letters", ""])
def test_what_does_not_run_is_told_and_never_accepted(http, service, workspace, sql):
    service.script.append(RIGHT)
    answer = re.search(r'name="answer" value="([^"]+)"', draft(http).text)[1]
    for path in ("/copilot/run", "/copilot/accept"):
        told = http.post(path, data={"database": "post.db", "sql": sql, "answer": answer})
        assert (told.status_code, 'role="alert"' in told.text) == (200, True)
    item = workspace.feedback.item(answer, project=None)
    assert (item.answer.decision, item.feedback) == (None, ())


@pytest.mark.parametrize(
    ("sql", "boolean", "wanted"),
    [(f" {RIGHT} ;\n", True, None), (RIGHT.replace("2", "3"), None, RIGHT.replace("2", "3"))],
    ids=["as it is", "mended"],
)
def test_accepting_is_feedback_to_the_answer(http, service, workspace, sql, boolean, wanted):
    service.script.append(RIGHT)
    answer = re.search(r'name="answer" value="([^"]+)"', draft(http).text)[1]
    assert "good-news" in http.post("/copilot/accept", data={"database": "post.db", "sql": sql, "answer": answer}).text
    (given,) = workspace.feedback.item(answer, project=None).feedback
    assert (given.said.boolean, given.said.demonstration) == (boolean, wanted)


@pytest.fixture(params=["desktop", "phone"])
def page(request, chromium, server):
    """The page in a browser of somebody who has signed in, who hears of no complaint and no foreign address."""
    options = {
        "desktop": {"viewport": {"width": 1200, "height": 850}, "color_scheme": "light", "locale": "en-GB"},
        "phone": {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark", "locale": "en-GB"},
    }
    complaints = []
    context = chromium.new_context(**options[request.param])
    context.set_default_timeout(WAIT_MS)
    context.request.post(f"{server.url}/v1/session", data={"key": ADMIN})
    page = context.new_page()
    page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith((server.url, "data:")) else complaints.append(sent.url))
    page.goto(server.url + "/copilot?expert=tickets")
    yield page
    context.close()
    assert complaints == []


def test_a_question_becomes_rows_by_keyboard(page, service):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    service.script.extend([WRONG, RIGHT])
    page.get_by_text("letters").wait_for()
    page.get_by_label("Your question").focus()
    page.keyboard.type("How heavy are two?")
    page.keyboard.press("Control+Enter")
    page.get_by_text("no such column: heft").wait_for()
    assert page.get_by_label("Query", exact=True).input_value() == RIGHT
    assert page.locator("td").all_text_contents() == ["3.0"]
    page.get_by_label("Query", exact=True).focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("SELECT pieces FROM letters WHERE weight = 3")
    page.keyboard.press("Control+Enter")
    page.get_by_role("columnheader", name="pieces").wait_for()
    page.get_by_role("button", name="This query is right").click()
    page.get_by_text("Kept as the right query").wait_for()
    found = axe.run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_label("Query", exact=True).press_sequentially(" LIMIT 1")
    page.get_by_text("Kept as the right query").wait_for(state="detached")  # that was said of another query


def test_a_database_is_added_and_its_tables_are_shown(page, tmp_path):
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE parcels (size INTEGER)")
    page.get_by_label("SQLite file").set_input_files(tmp_path / "a.db")
    page.get_by_role("button", name="Add it").click()
    page.get_by_text("parcels").wait_for()
    page.get_by_label("Database", exact=True).select_option("post.db")
    page.get_by_text("letters").wait_for()
