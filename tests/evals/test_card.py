"""A card survives its file, leads with the verdict, and its page is whole, safe and asks nobody for anything."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from chiliad.errors import UnreadableFile
from chiliad.evals import Card, Outcome, Subject, evaluate, make_card
from tests.evals.conftest import count_tokens, example, first_choice

EVIL = "</dd></style><script>alert(1)</script><img src=http://evil.example/x> | *b* `c` {{ 7*7 }}"
TRAINING = {
    "epochs": 3,
    "rank": 8,
    "learning_rate": 0.0005,
    "tokens": 12345,
    "seconds": 250.0,
    "targets": ["q_proj", "v_proj"],
    "loss": [[1, 3.5], [2, 1.5], [3, 0.5]],
    "dev_loss": [[3, 0.7]],
}
SUBJECT = Subject(
    "desk", 2, "smollm2-135m-q4_1", "c0ffee" * 10 + "abcd", 4_900_000, "2026-11-23T04:05:06Z", "2 cores", TRAINING
)  # fmt: skip


def card_of(dataset, expert, embed, subject=SUBJECT):
    comparison = evaluate(dataset, expert, first_choice, embed=embed, count_tokens=count_tokens)
    return make_card(comparison, dataset, subject)


@pytest.fixture(scope="module")
def cards(labels_dataset, json_dataset, text_dataset, embed):
    def mostly_right(dataset):
        known = {one.messages: one.answer for one in dataset.test[3:]}

        def answer(prompts, choices, tokens_max):
            fallback = first_choice(prompts, choices, tokens_max)
            return [replace(a, text=known.get(tuple(p), a.text)) for a, p in zip(fallback, prompts, strict=True)]

        return answer

    return [card_of(d, mostly_right(d), embed) for d in (labels_dataset, json_dataset, text_dataset)]


@pytest.fixture(scope="module")
def evil_card(labels_dataset, embed):
    """Every text that comes from outside is an attack."""
    rows = (*labels_dataset.test, example(EVIL, EVIL))
    dataset = replace(labels_dataset, test=rows, source=EVIL, instruction=EVIL, labels=(*labels_dataset.labels, EVIL))

    def expert(prompts, choices, tokens_max):
        return [replace(answer, text=EVIL + "?") for answer in first_choice(prompts, choices, tokens_max)]

    subject = replace(SUBJECT, name=EVIL, machine=EVIL, created=EVIL, training={EVIL: EVIL, "loss": [[1, 2], [2, 1]]})
    return card_of(dataset, expert, embed, subject)


def test_a_card_read_back_is_the_same_card(cards):
    for card in cards:
        assert Card.from_json(card.to_json()) == card
        assert json.loads(card.to_json())["format"] == "chiliad-card-1"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "chiliad-card-1"}'])
def test_a_damaged_card_is_an_error_with_a_fix(text):
    with pytest.raises(UnreadableFile, match="card cannot be read") as caught:
        Card.from_json(text)
    assert "chiliad eval" in caught.value.fix


def test_markdown_leads_with_the_verdict_and_lists_every_baseline(cards):
    for card in cards:
        text = card.to_markdown()
        assert text.splitlines()[0].replace("\\", "") == f"**{card.verdict.line}**"
        for row in card.baselines:
            assert re.search(rf"^\| {re.escape(row.title)}.* \| {100 * row.score:.1f} % \|", text, re.MULTILINE)
        assert card.provenance.dataset_hash[:12] in text
        assert "4.9 MB" in text
        assert "Time: 4 min" in text


def test_the_card_states_decoding_leakage_and_failures(cards):
    labels, as_json, _ = (card.to_markdown() for card in cards)
    assert "Decoding: constrained" in labels
    assert "Decoding: free" in as_json
    assert "Leakage check:" in labels
    assert all(1 <= len(card.mistakes) <= 3 for card in cards)
    assert cards[0].confused
    assert cards[1].confusion is None


def test_near_copies_are_taken_out_of_the_second_score(cards, labels_dataset):
    leaks = cards[0].leaks
    assert leaks.exact == 0
    assert leaks.near > 0
    assert leaks.score_without is not None


def test_a_score_of_near_copies_is_warned_of_and_not_void(labels_dataset, embed, knows):
    card = card_of(labels_dataset, knows(labels_dataset.test), embed)
    assert card.leaks.score_without == 1.0
    assert card.warning is None
    fresh = [example(one.input[::-1], one.answer) for one in labels_dataset.test]
    copies = [example(f"{one.input}.", one.answer) for one in labels_dataset.train]
    dataset = replace(labels_dataset, test=(*copies, *fresh))
    carried = card_of(dataset, knows([*copies, *(replace(one, answer="?") for one in fresh)]), embed)
    assert carried.verdict.outcome is not Outcome.VOID
    assert carried.leaks.near >= len(copies)
    assert carried.leaks.score_without < carried.expert.low
    assert f"{carried.leaks.near} of the {len(dataset.test)} test inputs are near copies" in carried.warning
    alone = card_of(replace(labels_dataset, test=tuple(copies)), knows(copies), embed)
    assert "no others are there" in alone.warning


def test_a_test_that_was_trained_on_is_void(labels_dataset, embed, knows):
    dataset = replace(labels_dataset, test=(*labels_dataset.test, *labels_dataset.train[:20]))
    card = card_of(dataset, knows(dataset.test), embed)
    assert card.verdict.outcome is Outcome.VOID
    assert card.leaks.exact == 20
    assert card.to_markdown().startswith("**Not a fair test:")


def test_costs_are_in_seconds_and_per_correct_answer(cards):
    cost = cards[0].cost
    assert cost.train_seconds == 250.0
    assert cost.seconds_per_correct > cost.seconds_per_answer > 0


def test_an_expert_that_is_never_right_has_no_cost_per_correct_answer(labels_dataset, embed, knows):
    card = card_of(labels_dataset, knows(labels_dataset.test, wrong_every=1), embed)
    assert card.cost.seconds_per_correct is None
    assert "One correct answer" not in card.to_markdown()
    assert Card.from_json(card.to_json()) == card


def test_a_card_without_training_facts_has_no_curve(labels_dataset, embed, knows):
    card = card_of(labels_dataset, knows(labels_dataset.test), embed, replace(SUBJECT, training={}))
    assert "Loss while training" not in card.to_html()
    assert "None on the test rows." in card.to_html()


class Page(HTMLParser):
    """Checks nesting, and collects what a page could load and what it says."""

    VOID = frozenset({"meta", "link"})

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.loads, self.text = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.loads += [value for name, value in attrs if name in {"src", "href", "action", "data", "xlink:href"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_well_formed_and_loads_nothing(cards, evil_card):
    for card in (*cards, evil_card):
        html = card.to_html()
        page = Page(html)
        assert not page.open
        assert page.loads == ["data:,"]
        assert "url(" not in html
        assert "@import" not in html
        policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv"))
        assert policy.startswith("default-src 'none'")


def test_the_page_can_be_read_without_seeing_it(cards):
    page = Page(cards[0].to_html())
    pictures = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert len(pictures) == 8
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in pictures)
    assert ("html", {"lang": "en"}) in page.tags
    assert any(tag == "meta" and "width=device-width" in attrs.get("content", "") for tag, attrs in page.tags)
    headings = [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1


def test_the_page_leads_with_the_verdict(cards):
    for card in cards:
        words = "".join(Page(card.to_html()).text)
        body = words[words.index("@media print") :]
        assert body.index(card.verdict.line) < body.index("Known failures")
        assert card.mistakes[0].input in words


def test_texts_from_data_stay_texts(evil_card):
    html = evil_card.to_html()
    assert "<script" not in html
    assert "<img" not in html
    assert EVIL in "".join(Page(html).text)
    assert "49" not in re.findall(r"\{\{.*?\}\}|\b49\b", html)
    markdown = evil_card.to_markdown()
    assert "<script" not in markdown.replace("\\<", "")
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) in {4, 7} for line in table)
