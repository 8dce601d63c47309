"""What every page keeps to, and what comes of forms."""

import asyncio
import re

import httpx
import pytest
from fastapi.routing import APIRoute

from chiliad.config import Settings
from chiliad.server.access import ACCESS
from chiliad.server.app import PAGES
from chiliad.server.caller import COOKIE
from chiliad.server.web.navigation import LINKS
from chiliad.server.web.render import ASSETS, asset
from chiliad.store import Role, Winner
from chiliad.workspace import Workspace
from chiliad.workspace.expert import CARD_FILE
from chiliad.workspace.service import WorkspaceService
from tests.server.conftest import running
from tests.server.web.conftest import ADMIN, EVIL
from tests.tiny import ROWS

TABLE = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)


@pytest.fixture
def admin(shop):
    with shop.admin() as http:
        yield http


def test_no_text_from_outside_is_taken_for_markup(shop, admin):
    for path in shop.paths:
        page = admin.get(path).text
        assert not re.search(r"<script>|<img|onerror='|</textarea><|60481729", page), path
    shown = [path for path in shop.paths if "&lt;script&gt;alert(1)" in admin.get(path).text]
    assert len(shown) >= 9, "the attacks are on most of the pages"


def test_every_page_that_there_is_is_looked_at(shop):
    routes = [route for page in PAGES for route in page.router.routes if "GET" in route.methods]
    paths = [path.partition("?")[0] for path in shop.paths]
    missed = {route.path for route in routes if not any(route.path_regex.fullmatch(path) for path in paths)}
    assert missed == {"/experts/{name}/{number}/card"}, "which has a test of its own"


def test_what_models_tell_of_themselves_is_read_off_the_event_loop(shop, admin, monkeypatch):
    seen, about = [], WorkspaceService._about

    def told(service, expert):
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        seen.append(expert.ref)
        return about(service, expert)

    monkeypatch.setattr(WorkspaceService, "_about", told)
    for path in ("/v1/models", "/v1/models/evil", "/playground", "/compare"):
        seen.clear()
        assert admin.get(path).status_code == 200
        assert seen, path


def test_the_whole_card_is_a_page_that_may_do_nothing(admin):
    reply = admin.get("/experts/evil/1/card")
    assert "<script>" not in reply.text
    assert "sandbox" in reply.headers["content-security-policy"]
    assert "script-src" not in reply.headers["content-security-policy"]


def test_every_page_loads_and_calls_nothing_but_this_server(shop, admin):
    for path in shop.paths:
        reply = admin.get(path)
        assert reply.status_code == 200
        policy = dict(one.strip().partition(" ")[::2] for one in reply.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert {policy[name] for name in ("script-src", "style-src", "connect-src", "form-action")} == {"'self'"}
        assert policy["frame-ancestors"] == "'none'"
        assert not re.findall(r"""(?:src|action|hx-post|hx-get)=["'](?!/|data:)""", reply.text)
        assert not re.findall(r"<style|<script>|\son\w+=[\"']|\sstyle=|hx-on|hx-vals=.js", reply.text), path


@pytest.mark.parametrize("name", ASSETS)
def test_files_of_pages_need_nothing_from_elsewhere(name, admin):
    reply = admin.get(f"/static/{name}")
    assert reply.content == asset(name)
    assert "immutable" in reply.headers["cache-control"]
    if name != "htmx.min.js":
        assert not re.findall(r"https?://|@import|innerHTML|eval\(", reply.text)


@pytest.mark.parametrize("path", ["htmx.LICENSE.txt", "..%2frender.py", "%2e%2e%2frender.py"])
def test_no_other_file_is_handed_out(admin, path):
    assert admin.get(f"/static/{path}").status_code == 404


def test_without_a_key_a_page_is_where_to_sign_in_and_a_program_is_told_so(shop):
    with shop.running.http() as nobody:
        for path in [link.path for link in LINKS] + ["/experts/evil", "/experts/nobody"]:
            page = nobody.get(path, headers={"Accept": "text/html"})
            assert page.status_code == 401
            assert 'id="key"' in page.text
            assert "evil" not in page.text
            assert nobody.get(path).json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("role", Role)
def test_links_are_those_that_may_be_followed(shop, role):
    secret = shop.running.accounts.keys.create("a", role=role).secret
    with shop.admin(Authorization=f"Bearer {secret}") as http:
        page = http.get("/").text
        shown = set(re.findall(r'<li><a href="(/\w*)"', page))
        assert shown == {link.path for link in LINKS if ACCESS[f"GET {link.path}"].met_by(role)}
        assert {http.get(path).status_code for path in shown} == {200}


FORMS = sorted(
    re.sub(r"{[^}]*}", "evil", route.path)
    for page in PAGES
    for route in page.router.routes
    if isinstance(route, APIRoute) and "POST" in route.methods
)
"""of every page that there is, so that none is forgotten"""


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:1"])
def test_a_form_that_is_not_from_one_of_our_pages_is_refused(shop, path, origin):
    headers = {} if origin is None else {"Origin": origin}
    with shop.running.http(headers=headers) as http:
        token = shop.running.accounts.sessions.open(None)
        reply = http.post(path, data={"name": "x", "role": "admin"}, headers={"Cookie": f"{COOKIE}={token}"})
    assert reply.status_code == 403
    assert reply.json()["error"]["code"] in ("origin_required", "origin_not_allowed")


def test_a_dataset_names_the_expert_that_learned_from_it_and_answers_to_its_whole_hash(shop, admin):
    row = re.search(
        rf'<tr>\s*<th scope="row"><a href="/datasets/{shop.dataset}".*?</tr>', admin.get("/datasets").text, re.DOTALL
    )
    assert 'href="/experts/evil"' in row[0]
    digest = shop.workspace.expert("evil").version.dataset_hash
    assert 'href="/experts/evil"' in admin.get(f"/datasets/{digest}").text
    assert admin.get(f"/datasets/{shop.dataset[:-1]}").status_code == 404


@pytest.mark.parametrize(
    ("path", "title"),
    [("/", "Experts"), ("/experts/evil", "Experts"), ("/suggestions/odd-0", "Review"), ("/review/odd-0", "Review")],
)
def test_a_page_is_marked_among_the_links(admin, path, title):
    marked = re.findall(
        r'aria-current="page">([^<]+)<', re.search(r"<nav.*?</nav>", admin.get(path).text, re.DOTALL)[0]
    )
    assert marked == [title]


def test_only_personal_data_that_was_found_is_told(admin):
    table = "input,output\n" + "".join(f"write to me {n},label {n % 2}\n" for n in range(30))
    found = admin.post("/train/check", files={"file": ("a.csv", table)}, data={"base": "tiny"}).text
    assert "An expert can be trained on this" in found
    assert "Likely personal data" not in found
    found = admin.post("/train/check", files={"file": ("a.csv", table.replace("me 7", "ann@example.com"))}).text
    assert "Likely personal data: email" in found
    assert "Likely personal data: phone" not in found


def test_a_version_without_a_card_is_evaluated_by_a_button(shop, admin):
    assert "/experts/evil/evaluate" not in admin.get("/experts/evil").text
    folder = shop.workspace.expert("evil").folder
    card = (folder / CARD_FILE).rename(folder / "aside.json")
    assert 'action="/experts/evil/evaluate"' in admin.get("/experts/evil").text
    card.rename(folder / CARD_FILE)
    sent = admin.post("/experts/evil/evaluate", data={"number": 1})
    job = shop.workspace.jobs.get(sent.headers["location"].removeprefix("/jobs/"))
    shop.workspace.jobs.cancel(job.id)
    assert (job.kind, job.document) == ("evaluate", {"expert": "evil@1"})
    assert admin.post("/experts/evil/evaluate", data={"number": 7}).status_code == 404


def test_a_key_is_shown_once(shop, admin):
    made = admin.post("/keys", data={"name": "shop app", "role": "app", "spend_per_month": "2.5"})
    secret = re.search(r"chil_[\w-]{20,}", made.text)[0]
    assert shop.running.accounts.keys.by_secret(secret).limits.spend_per_month == 2.5
    assert secret not in admin.get("/keys").text
    key = shop.running.accounts.keys.by_secret(secret)
    assert admin.post(f"/keys/{key.id}/revoke").headers["location"] == "/keys"
    assert shop.running.accounts.keys.by_secret(secret) is None


def test_settings_tell_no_secret(shop, admin):
    page = admin.get("/settings").text
    assert re.search(r"\[engine\].*batch_max.*\[server\]", page, re.DOTALL)
    assert ADMIN not in page


@pytest.mark.parametrize("name", ["../../../etc/passwd.csv", r"C:\\a\\..\\b.csv", f"{'x' * 300}.csv", "a\nb.csv"])
def test_a_file_is_looked_at_under_the_last_part_of_its_name(shop, admin, name):
    reply = admin.post("/train/check", files={"file": (name, TABLE)}, data={"base": "tiny"})
    assert "An expert can be trained on this" in reply.text
    assert "/" not in re.search(r"What is in ([^<]*)<", reply.text)[1]
    assert not list(shop.workspace.folder.rglob("*passwd*"))


def test_what_is_in_a_file_is_never_markup(admin):
    rows = "".join(f'"{EVIL.replace(chr(34), "")} {n}",{n % 2}\n' for n in range(30))
    page = admin.post("/train/check", files={"file": ("<i>.csv", f"text,<b>x\n{rows}")}, data={"output": "<b>x"}).text
    assert "&lt;script&gt;" in page
    assert not re.search(r"<script|<img|<b>x|<i>\.", page)


@pytest.mark.parametrize(
    ("file", "status", "told"),
    [
        (("a.exe", "MZ"), 400, "no ending that Chiliad knows"),
        (("a.csv", "text,label\nx,y\n"), 200, "different rows"),
        (("a.csv", "a,b,c\n1,2,3\n"), 200, "Which column is which"),
        (("a.csv", "prompt,chosen,rejected\na,b,c\nd,e,f\n"), 200, "Preferences: 2 pairs of answers"),
        (("a.csv", "prompt,completion,label\na,b,true\nd,e,0\n"), 200, "Preferences: 2 answers that are good or bad"),
        (("a.csv", "prompt,chosen,rejected\na,b,b\n"), 400, "row 1: chosen and rejected are the same answer"),
        (("a.csv", b"\xff\xfe\x00"), 400, 'role="alert"'),
    ],
)
def test_what_is_wrong_with_a_file_is_told_to_whoever_dropped_it(admin, file, status, told):
    reply = admin.post("/train/check", files={"file": file}, headers={"HX-Request": "true"})
    assert reply.status_code == status
    assert told in reply.text
    assert "<html" not in reply.text


def test_too_few_answered_requests_make_no_expert_and_it_is_told(shop, admin):
    before = len(shop.workspace.jobs.page())
    filled = {"name": "made", "asked": ["odd-0"], "wanted": ["right"], "base": "tiny", "more": "a\tb"}
    reply = admin.post("/suggestions/odd-0", data=filled, headers={"HX-Request": "true"})
    assert reply.status_code == 400
    assert 'role="alert"' in reply.text
    assert admin.get("/suggestions/evil-0").status_code == 404
    assert len(shop.workspace.jobs.page()) == before


def test_a_correction_without_an_answer_is_told_beside_its_field(shop, admin):
    page = admin.post("/review/evil-2", data={"decision": "correct"}, headers={"HX-Request": "true"}).text
    assert 'aria-invalid="true"' in page or 'role="alert"' in page
    assert shop.workspace.feedback.answers.get("evil-2", project=None).decision is None


def test_a_name_that_cannot_be_is_refused_and_nothing_is_queued(shop, admin):
    before = len(shop.workspace.jobs.page())
    reply = admin.post("/train", files={"file": ("a.csv", TABLE)}, data={"name": "../x", "base": "tiny"})
    assert reply.status_code == 400
    assert len(shop.workspace.jobs.page()) == before


@pytest.mark.parametrize("path", ["/experts/nobody", "/experts/A%20b", "/jobs/job-1", "/datasets/nothing", "/nothing"])
def test_what_is_not_there_is_a_page_that_says_so(admin, path):
    reply = admin.get(path)
    assert reply.status_code == 404
    assert "<h1>" in reply.text


def test_a_vote_counts_for_both_sides_and_is_seen_by_its_project(shop, admin):
    votes = shop.running.accounts.votes
    before = votes.tally("evil@1", "tiny")
    for left, right, winner in (("evil", "tiny", "left"), ("tiny", "evil", "right"), ("evil", "tiny", "tie")):
        page = admin.post("/compare", data={"left": left, "right": right, "winner": winner}).text
    after = votes.tally("evil@1", "tiny")
    assert (after.one - before.one, after.other - before.other, after.ties - before.ties) == (2, 0, 1)
    assert f"evil@1 preferred {after.one}, tiny preferred {after.other}, equal {after.ties}" in page
    assert votes.tally("evil@1", "tiny", project="another").one == 0
    for right in ("evil", "evil@1"):
        assert admin.post("/compare", data={"left": "evil", "right": right, "winner": "tie"}).status_code == 400
    assert set(Winner) == {"left", "right", "tie"}


def test_a_fresh_server_on_this_machine_asks_nobody_to_sign_in(service, tmp_path):
    with Workspace.open(Settings(workspace=tmp_path)) as workspace, running(service, workspace=workspace) as server:
        page = httpx.get(server.url, headers={"Accept": "text/html"}).text
    assert "There is no expert yet" in page
    assert "open to anybody on this machine" in page
