"""An example: one prompt with the answer that is wanted for it."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Message:
    """One turn of a conversation. `role` is "system", "user", "assistant" or "tool"."""

    role: str
    content: str


@dataclass(frozen=True)
class Example:
    """One prompt (all turns before the answer) and its answer.

    `id` follows from the content alone, so the same row has the same id in every file. Examples of one `group`
    (a customer, a document, a conversation) are never separated by a split.
    """

    id: str
    messages: tuple[Message, ...]
    answer: str
    group: str | None = None

    @classmethod
    def of(cls, messages: Iterable[Message], answer: str, group: str | None = None) -> Example:
        """Make the example with the id that belongs to its content."""
        turns = tuple(messages)
        content = {"messages": [[turn.role, turn.content] for turn in turns], "answer": answer}
        return cls(digest(content)[:16], turns, answer, group)

    @property
    def input(self) -> str:
        """The content of the last user message."""
        return next((turn.content for turn in reversed(self.messages) if turn.role == "user"), "")

    @property
    def dialogue(self) -> str:
        """What the user and the assistant said so far, as one text."""
        return "\n".join(turn.content for turn in self.messages if turn.role != "system")

    @cached_property
    def usable(self) -> bool:
        """Whether neither the input nor the answer is blank."""
        return bool(self.input.strip()) and bool(self.answer.strip())

    @cached_property
    def key(self) -> str:
        """The same for prompts that differ only in case, white space or Unicode form: those count as one input."""
        return digest([[turn.role, normalise(turn.content)] for turn in self.messages])


def normalise(text: str) -> str:
    """Return the text in NFKC form, case-folded, with every run of white space made one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def digest(content: object) -> str:
    """SHA-256 of what JSON can hold, in hexadecimal."""
    return hashlib.sha256(_CANONICAL.encode(content).encode()).hexdigest()
