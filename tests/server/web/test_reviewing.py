"""From an answer that is marked in a browser to a version that has learned it, and to an expert that was missing."""

import re
from dataclasses import asdict, replace

import pytest

from chiliad.store import AnswerToKeep, Decision
from chiliad.workspace.jobs import train
from chiliad.workspace.worker import Worker
from tests.server.web.conftest import EVIL
from tests.tiny import QUICK, write_table

FOCUSED = "[data-item]:focus"


@pytest.fixture(scope="module")
def desk(shop, tmp_path_factory):
    table = write_table(tmp_path_factory.mktemp("desk") / "desk.csv")
    return shop.workspace.train("desk", table, base="tiny", options=QUICK)


def learn(workspace, job):
    return train(workspace, replace(job, document={**job.document, "options": asdict(QUICK)}))


def work(shop):
    Worker(shop.workspace, shop.workspace.jobs, kinds={"correct": learn}).run(until_idle=True)


def keep(shop, texts, *, model="desk@1", expert="desk", answer="status", name="kept"):
    one = AnswerToKeep("", "k", "default", model, expert, [], answer, 0.3, {})
    asked = {f"{name}-{n}": [{"role": "user", "content": text}] for n, text in enumerate(texts)}
    shop.workspace.feedback.answers.keep([replace(one, id=key, turns=turns) for key, turns in asked.items()])


def test_twenty_corrections_make_the_next_version_and_the_page_tells_the_gates_verdict(opened, shop, desk):
    keep(shop, [*(f"crate {n} fell down" for n in range(20)), "where is box 99"])
    for n in range(2, 20):
        shop.workspace.feedback.decide(f"kept-{n}", Decision.CORRECT, "damage", by="k", project=None)
    page = opened()
    page.goto(shop.running.url + "/review?expert=desk")
    page.locator("[data-item]", has_text="crate").first.focus()
    for corrected in range(2):
        page.keyboard.press("c")
        page.keyboard.type("damage")
        page.keyboard.press("Enter")
        page.get_by_text("Corrected: damage").nth(corrected).wait_for()
        page.locator(FOCUSED).wait_for()
    page.get_by_text(re.compile(r"Not yet learned: 2\d\.")).wait_for()
    page.locator(".gathered", has_text="desk").get_by_role("button", name="Make the next version").click()
    page.wait_for_url("**/jobs/job-*")
    work(shop)
    page.get_by_text(re.compile(r"desk@2 is (live|done)\.")).wait_for()
    assert page.get_by_text(re.compile(r"accuracy .* against .* on \d+ rows")).count() >= 1
    made, before = (shop.workspace.own_dataset(shop.workspace.expert(f"desk@{number}")) for number in (2, 1))
    learned = {one.input for one in made.train} - {one.input for one in before.train}
    assert learned >= {f"crate {n} fell down" for n in range(20)}
    assert made.test == before.test


def test_one_key_keeps_one_skips_and_the_arrows_move(opened, shop, desk):
    keep(shop, [f"where is box {n}" for n in range(50, 54)], name="keys")
    page = opened()
    page.goto(shop.running.url + "/review?expert=desk&order=newest")
    items = page.locator("[data-item]")
    before = items.count()
    items.first.focus()
    page.keyboard.press("ArrowDown")
    assert items.nth(1).evaluate("item => item === document.activeElement")
    page.keyboard.press("k")
    page.get_by_text("Kept as it is.").wait_for()
    page.locator(FOCUSED).wait_for()
    page.keyboard.press("s")
    page.get_by_text("Skipped: nothing is learned from it.").wait_for()
    assert items.count() == before - 2
    decided = shop.workspace.feedback.answers.some([f"keys-{n}" for n in range(4)], project=None).values()
    assert sorted(one.decision or "" for one in decided) == ["", "", "accept", "dismiss"]
    page.get_by_role("button", name="Change").first.click()
    items.nth(before - 2).wait_for()


def test_the_rule_is_set_from_the_page_and_an_empty_field_ends_it(opened, shop):
    page = opened()
    page.goto(shop.running.url + "/review")
    card = page.locator(".gathered", has_text="evil")
    card.get_by_text("Trained by itself after 50 corrections").click()
    card.get_by_label("By itself, after so many corrections").fill("7")
    card.get_by_role("button", name="Set the rule").click()
    card.get_by_text("Trained by itself after 7 corrections").click()
    card.get_by_label("By itself, after so many corrections").fill("")
    card.get_by_role("button", name="Set the rule").click()
    card.get_by_text("Not trained by itself").wait_for()
    assert shop.workspace.feedback.standing("evil", project=None, own_project="default").after is None


def test_marking_an_answer_keeps_it_and_nothing_else_does(opened, shop, desk):
    page = opened()
    page.goto(shop.running.url + "/playground?expert=desk")
    page.get_by_label("Your text").fill("where is box 7")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_role("button", name="Bad").wait_for()
    assert kept_about(shop, "where is box 7") == []
    page.get_by_role("button", name="Bad").click()
    page.get_by_text("Noted. It stands in the review queue.").wait_for()
    (item,) = kept_about(shop, "where is box 7")
    assert [one.said.boolean for one in item.feedback] == [False]
    page.get_by_text("Correct this answer").click()
    page.get_by_label("The right answer").fill("refund")
    page.get_by_role("button", name="Save the correction").click()
    page.get_by_text("Noted.").wait_for()
    page.locator("[data-correction]:not([open])").wait_for()
    assert shop.workspace.feedback.answers.get(item.answer.id, project=None).wanted == "refund"


def kept_about(shop, text):
    found = shop.workspace.feedback.queue(project=None, expert="desk")
    return [item for item in found if item.answer.turns[-1]["content"] == text]


def test_what_loses_a_blind_comparison_comes_up_for_review_if_that_is_wanted(opened, shop, desk):
    page = opened()
    page.goto(shop.running.url + "/compare")
    page.get_by_label("One", exact=True).select_option("desk")
    page.get_by_label("The other").select_option("tiny")
    page.get_by_label("Your text").fill("where is box 8")
    page.get_by_label("Keep the text and both answers").check()
    page.get_by_role("button", name="Ask both").click()
    page.get_by_role("button", name="Left", exact=True).click()
    told = page.locator("#tally h2").text_content()
    shop_queue = shop.workspace.feedback.queue(project=None)
    both = {one.answer.model: one for one in shop_queue if one.answer.turns[-1]["content"] == "where is box 8"}
    left, right = re.fullmatch(r"Left was (\S+), right was (\S+)\.", told).groups()
    assert [both[left].answer.disagreement, both[right].answer.disagreement] == [0.0, 1.0]


def test_a_missing_expert_is_made_from_the_requests_and_pasted_rows(opened, shop):
    page = opened()
    page.goto(shop.running.url + "/review")
    page.get_by_role("link", name="Make this expert").click()
    page.get_by_label(EVIL[:40]).first.fill("odd")
    page.get_by_label("Name").fill("made")
    page.get_by_text("More choices").click()
    page.get_by_label("Base model").select_option("tiny")
    rows = "\n".join(f"how many days {n}\tleave\nwhat is my pay {n}\tpay" for n in range(15))
    page.get_by_label("More rows, pasted from a spreadsheet").fill(rows)
    page.get_by_role("button", name="Train it").click()
    page.wait_for_url("**/jobs/job-*")
    job = shop.workspace.jobs.get(page.url.rpartition("/")[2])
    assert job.document["name"] == "made"
    dataset = shop.workspace.dataset(job.document["dataset"])
    assert set(dataset.labels) >= {"leave", "pay"}
    shop.workspace.jobs.cancel(job.id)
