"""The pages in a real browser: they work, by keyboard too, everybody can read them, and nothing leaves this server."""

import re
from contextlib import contextmanager
from dataclasses import replace

import pytest

from chiliad.server.admin_link import AdminLink
from chiliad.store import Role
from chiliad.workspace.jobs import from_document
from chiliad.workspace.worker import Worker
from tests.server.conftest import running
from tests.server.web.conftest import ADMIN, DESKTOP, WAIT_MS
from tests.tiny import QUICK, write_table

PHONE = {"width": 360, "height": 740}
TOOK = re.compile(r"\d+ tokens, all in")


@pytest.mark.parametrize(
    "options",
    [
        {"viewport": DESKTOP, "color_scheme": "light", "locale": "en-GB"},
        {"viewport": PHONE, "color_scheme": "dark", "locale": "id-ID", "has_touch": True},
    ],
    ids=["desktop", "phone"],
)
def test_every_page_can_be_read_by_everybody(opened, shop, options):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(**options)
    for path in shop.paths:
        if path.endswith("/progress") or path.startswith("/copilot/tables"):  # parts of other pages
            continue
        page.goto(shop.running.url + path)
        found = axe.run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is too wide"


def test_on_a_telephone_the_link_of_the_page_one_is_on_can_be_seen(opened, shop):
    page = opened(viewport=PHONE, has_touch=True)
    page.goto(shop.running.url + "/settings")
    page.wait_for_load_state()
    box = page.locator(".top [aria-current]").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]


def test_the_keyboard_gets_past_the_links_and_can_ask(opened, shop):
    page = opened()
    page.goto(shop.running.url + "/playground?expert=evil")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "input"
    page.keyboard.type("where is box 3")
    page.keyboard.press("Control+Enter")
    page.get_by_text(TOOK).wait_for()
    assert page.locator("[data-answer]").text_content()


def test_several_experts_answer_side_by_side(opened, shop):
    page = opened()
    page.goto(shop.running.url + "/playground?expert=evil")
    page.get_by_role("button", name="Ask another one beside").click()
    first, beside = [box.input_value() for box in page.locator("select").all()]
    assert (first, beside != first) == ("evil", True)
    page.get_by_label("Your text").fill("money back 7")
    page.get_by_role("button", name="Ask", exact=True).click()
    for column in range(2):
        page.get_by_text(TOOK).nth(column).wait_for()
    page.get_by_role("button", name="Remove").first.click()
    assert page.locator("select").count() == 1


def test_a_blind_comparison_tells_the_names_after_the_vote(opened, shop):
    page = opened()
    page.goto(shop.running.url + "/compare")
    page.get_by_label("Your text").fill("where is box 4")
    page.get_by_role("button", name="Ask both").click()
    page.get_by_role("button", name="Equally good or bad").click()
    told = page.locator("#tally h2").text_content()
    left, right = re.fullmatch(r"Left was (.+), right was (.+)\.", told).groups()
    assert left != right
    assert all(str(shop.workspace.expert(one).ref) == one for one in {left, right} - {"tiny"})
    assert not page.locator("[data-vote]").is_visible()


def test_a_vote_counts_for_the_version_that_answered(opened, shop, tmp_path):
    rows, votes = write_table(tmp_path / "rows.csv"), shop.running.accounts.votes
    shop.workspace.train("moving", rows, base="tiny", options=QUICK)
    page = opened()
    page.goto(shop.running.url + "/compare")
    page.get_by_label("One", exact=True).select_option("moving")
    page.get_by_label("The other").select_option("tiny")
    page.get_by_label("Your text").fill("where is box 5")
    page.get_by_role("button", name="Ask both").click()
    tie = page.get_by_role("button", name="Equally good or bad")
    tie.wait_for()
    later = shop.workspace.train("moving", rows, base="tiny", options=replace(QUICK, seed=1))
    shop.workspace.promote(str(later.ref), force=True)
    tie.click()
    page.locator("#tally h2").wait_for()
    assert votes.tally("moving@1", "tiny").ties == 1
    assert votes.tally("moving@2", "tiny").ties == 0


def test_an_expert_is_made_from_a_file_and_one_can_watch(opened, shop, tmp_path):
    page = opened()
    page.goto(shop.running.url + "/train")
    page.get_by_label("Examples").set_input_files(write_table(tmp_path / "tickets.csv"))
    page.get_by_text("An expert can be trained on this").wait_for()
    assert page.get_by_label("What should come out").input_value() == "label"
    page.get_by_label("Name").fill("tickets")
    page.get_by_text("More choices").click()
    page.get_by_label("Base model").select_option("tiny")
    page.get_by_role("button", name="Train it").click()
    page.wait_for_url("**/jobs/job-*")
    page.get_by_text("queued", exact=True).wait_for()
    page.locator("#pause").focus()
    page.locator("#progress").evaluate("progress => { progress.dataset.seen = true; }")
    page.locator("#progress:not([data-seen])").wait_for()  # it has asked for itself again
    assert page.evaluate("document.activeElement.id") == "pause"
    Worker(shop.workspace, shop.workspace.jobs, kinds={"train": quickly}).run(until_idle=True)
    page.get_by_text("tickets@1 is live.").wait_for()  # the page has heard of it by itself
    page.get_by_role("link", name="See its card").click()
    assert page.locator("h1").text_content() == "tickets@1"


@contextmanager
def quickly(workspace, job):
    expert = workspace.run(replace(from_document(workspace, job.document), options=QUICK))
    yield {"expert": str(expert.ref), "live": True, "refusal": None}


def test_the_language_that_is_chosen_stays(opened, shop):
    page = opened()
    page.goto(shop.running.url + "/jobs")
    page.get_by_role("link", name="Bahasa Indonesia").click()
    page.get_by_role("link", name="Pakar", exact=True).click()
    assert page.locator("html").get_attribute("lang") == "id"
    assert page.locator("h1").text_content() == "Pakar"


def test_the_admin_link_signs_in_once_and_out_again(chromium, shop):
    link = AdminLink()
    with running(shop.running.service, workspace=shop.workspace, admin_link=link, api_key=ADMIN) as server:
        page = chromium.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(link.at(server.url))
        page.get_by_role("link", name="To the experts").click()
        page.get_by_role("link", name="Keys").click()
        assert page.locator("h1").text_content() == "Keys"
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/admin")
        page.goto(server.url + "/keys")
        assert page.get_by_label("Your key").is_visible()
        page.close()


def test_whoever_signs_in_is_told_their_role_in_their_language(chromium, shop):
    key = shop.running.accounts.keys.create("budi", role=Role.MEMBER)
    page = chromium.new_page(locale="id-ID")
    page.set_default_timeout(WAIT_MS)
    page.goto(shop.running.url + "/admin")
    page.get_by_label("Kunci Anda").fill(key.secret)
    page.get_by_role("button", name="Masuk").click()
    page.get_by_text("Peramban ini masuk sebagai budi: anggota.").wait_for()
    page.close()
