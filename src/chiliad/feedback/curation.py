"""What a kept answer teaches, once somebody has decided what would have been right, or called it good or bad."""

from __future__ import annotations

from collections.abc import Iterator

from chiliad.data import Example, Message, Preference
from chiliad.store import AnswerToKeep, KeptAnswer


def example_of(answer: KeptAnswer) -> Example:
    """The conversation as it was, with the answer that was wanted."""
    assert answer.wanted is not None, "nothing was decided that could be learned"
    return Example.of(_turns(answer), answer.wanted.strip())


def preference_of(answer: AnswerToKeep, *, good: bool) -> Preference:
    """The conversation as it was, with the answer that was given, which is good or not."""
    text = answer.text.strip()
    return Preference.of(_turns(answer), *((text, None) if good else (None, text)))


def last_request(answer: AnswerToKeep) -> str:
    """What the user said last."""
    return next((turn["content"] for turn in reversed(answer.turns) if turn["role"] == "user"), "")


def _turns(answer: AnswerToKeep) -> Iterator[Message]:
    return (Message(turn["role"], turn["content"].strip()) for turn in answer.turns)
