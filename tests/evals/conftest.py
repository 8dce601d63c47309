"""Small datasets of each kind, an embedder without weights, and answerers that behave in known ways."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest

from chiliad.data import Example, Message
from chiliad.data.dataset import assemble
from chiliad.evals import Answer

PHRASES = {
    "card_lost": ["I lost my card {}", "my card is gone since {}", "cannot find my bank card {}", "card stolen {}"],
    "refund": ["I want my money back {}", "please refund order {}", "refund has not come {}", "give me a refund {}"],
    "hours": ["when do you open on {}", "opening hours for {}", "are you open {}", "until when are you open {}"],
}
WORDS = ["monday", "tuesday", "friday", "christmas", "today", "tomorrow", "noon"]
WORDS += ["london", "oslo", "jakarta", "bali", "rome", "paris", "home", "here"]


def example(text: str, answer: str) -> Example:
    return Example.of([Message("user", text)], answer)


def label_rows(words=WORDS) -> list[Example]:
    return [example(phrase.format(word), label) for label, ps in PHRASES.items() for phrase in ps for word in words]


@pytest.fixture(scope="session")
def labels_dataset():
    return assemble(label_rows(), source="desk.csv", instruction="Say what the customer wants.")


@pytest.fixture(scope="session")
def json_dataset():
    rows = [
        example(f"send {count} {thing} to {word}", json.dumps({"count": count, "thing": thing, "to": word}))
        for count in (1, 2, 3)
        for thing in ("books", "lamps")
        for word in WORDS
    ]
    return assemble(rows, source="orders.csv")


@pytest.fixture(scope="session")
def text_dataset():
    rows = [example(f"you are late {word}", f"We are sorry about {word}, kind regards.") for word in WORDS]
    rows += [example(f"where is {word}?", f"{word.title()} is on its way to you.") for word in WORDS]
    rows += [example(f"thanks for {word}", f"You are welcome, enjoy {word}!") for word in WORDS]
    return assemble(rows, source="replies.csv")


@pytest.fixture(scope="session")
def embed():
    """Bags of words, hashed to 256 numbers, of length 1."""

    def vectors(texts):
        rows = np.zeros((len(texts), 256), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[zlib.crc32(word.encode()) % 256] += 1
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)

    return vectors


def count_tokens(text: str) -> int:
    return len(text.split())


@pytest.fixture
def knows():
    """Makes an answerer that knows the answers to these examples, but for every `wrong_every`-th of them."""

    def make(examples, wrong_every=None, wrong="?"):
        known = {
            one.messages: wrong if wrong_every and row % wrong_every == 0 else one.answer
            for row, one in enumerate(examples)
        }

        def answer(prompts, choices, tokens_max):
            return [Answer(known[tuple(prompt)], 10, 2) for prompt in prompts]

        return answer

    return make


def first_choice(prompts, choices, tokens_max):
    """A base model that has learnt nothing: always the first label, or the last word it read."""
    return [Answer(choices[0] if choices else prompt[-1].content.split()[-1], 50, 1) for prompt in prompts]
