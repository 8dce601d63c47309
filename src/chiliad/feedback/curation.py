"""What a kept answer teaches, once somebody has decided what would have been right."""

from __future__ import annotations

from chiliad.data import Example, Message
from chiliad.store import AnswerToKeep, KeptAnswer


def example_of(answer: KeptAnswer) -> Example:
    """The conversation as it was, with the answer that was wanted."""
    assert answer.wanted is not None, "nothing was decided that could be learned"
    turns = (Message(turn["role"], turn["content"].strip()) for turn in answer.turns)
    return Example.of(turns, answer.wanted.strip())


def last_request(answer: AnswerToKeep) -> str:
    """What the user said last."""
    return next((turn["content"] for turn in reversed(answer.turns) if turn["role"] == "user"), "")
