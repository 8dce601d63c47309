"""A preference: what somebody thinks of answers to one prompt, of two which is better, of one whether it is good."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from chiliad.data.example import Example, Message, digest
from chiliad.data.split import DEV, TEST, TRAIN

GOOD, BAD = "good", "bad"


@dataclass(frozen=True)
class Preference:
    """One prompt (all turns before the answer), with a chosen answer, a rejected one, or one of each.

    With both it is a pair, of which the chosen one is better; with one of them that answer is good, or bad. `id` follows
    from the content alone; preferences of one `group` are never separated by a split.
    """

    id: str
    messages: tuple[Message, ...]
    chosen: str | None
    rejected: str | None
    group: str | None = None

    @classmethod
    def of(
        cls, messages: Iterable[Message], chosen: str | None, rejected: str | None, group: str | None = None
    ) -> Preference:
        """Make the preference with the id that belongs to its content."""
        assert chosen is not None or rejected is not None, "no answer was given to think about"
        turns = tuple(messages)
        content = {"messages": [[turn.role, turn.content] for turn in turns], "chosen": chosen, "rejected": rejected}
        return cls(digest(content)[:16], turns, chosen, rejected, group)

    @property
    def is_pair(self) -> bool:
        return self.chosen is not None and self.rejected is not None

    @cached_property
    def example(self) -> Example | None:
        """What is to be answered, if somebody chose an answer or called it good."""
        return None if self.chosen is None else Example.of(self.messages, self.chosen, self.group)

    @cached_property
    def place(self) -> Example:
        """How splits see it: by its prompt and group, and by whether it calls one answer good or bad."""
        said = "" if self.is_pair else GOOD if self.chosen is not None else BAD
        return Example(self.id, self.messages, said, self.group)

    @property
    def key(self) -> str:
        """As an example's: the same for prompts that count as one input."""
        return self.place.key


@dataclass(frozen=True)
class Preferences:
    """Divided like examples: no prompt and no group is in two parts."""

    train: tuple[Preference, ...]
    dev: tuple[Preference, ...]
    test: tuple[Preference, ...]

    @property
    def have_pairs(self) -> bool:
        return any(one.is_pair for one in (*self.train, *self.dev, *self.test))

    def to_lines(self) -> bytes:
        """One a line with its split, otherwise in TRL's conversational format."""
        parts = ((TRAIN, self.train), (DEV, self.dev), (TEST, self.test))
        return "".join(f"{_line(one, part)}\n" for part, some in parts for one in some).encode()

    @classmethod
    def from_lines(cls, lines: bytes) -> Preferences:
        """Raises ValueError, KeyError or TypeError for what `to_lines` has not written."""
        parts: dict[str, list[Preference]] = {TRAIN: [], DEV: [], TEST: []}
        for row in (json.loads(line) for line in lines.decode().split("\n") if line):
            parts[row["split"]].append(_parsed(row))
        return cls(*(tuple(parts[part]) for part in (TRAIN, DEV, TEST)))


def _line(one: Preference, part: str) -> str:
    row: dict[str, Any] = {"split": part}
    if one.group is not None:
        row["group"] = one.group
    row["prompt"] = [{"role": turn.role, "content": turn.content} for turn in one.messages]
    return json.dumps(row | dict(_answers(one)), ensure_ascii=False, separators=(",", ":"))


def _answers(one: Preference) -> Iterator[tuple[str, Any]]:
    def turn(answer: str | None) -> list[dict[str, str | None]]:
        return [{"role": "assistant", "content": answer}]

    if one.is_pair:
        yield "chosen", turn(one.chosen)
        yield "rejected", turn(one.rejected)
    else:
        yield "completion", turn(one.rejected if one.chosen is None else one.chosen)
        yield "label", one.chosen is not None


def _parsed(row: dict[str, Any]) -> Preference:
    turns = (Message(turn["role"], turn["content"]) for turn in row["prompt"])
    if "chosen" in row:
        chosen, rejected = row["chosen"][0]["content"], row["rejected"][0]["content"]
    else:
        answer = row["completion"][0]["content"]
        chosen, rejected = (answer, None) if row["label"] else (None, answer)
    return Preference.of(turns, chosen, rejected, row.get("group"))
