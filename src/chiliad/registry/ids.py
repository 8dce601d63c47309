"""Names: what an expert may be called, and how one of its versions is written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType

from chiliad.errors import ExpertNotFound, RegistryError

ExpertName = NewType("ExpertName", str)
DatasetHash = NewType("DatasetHash", str)

NAME_LENGTH_MAX = 64
RESERVED_NAMES = frozenset({"base", "chiliad", "auto", "router", "default", "all", "none"})

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")


@dataclass(frozen=True)
class ExpertRef:
    """What a user writes to mean an expert: `tickets` (the live version) or `tickets@3`."""

    name: ExpertName
    number: int | None = None

    @classmethod
    def parse(cls, text: str) -> ExpertRef:
        """Raises ExpertNotFound: what cannot be a reference refers to nothing."""
        name, at, number = text.partition("@")
        if not is_name(name) or (at and not re.fullmatch(r"[1-9][0-9]{0,8}", number)):
            raise ExpertNotFound(
                f"{text!r} is not an expert.", fix="Write a name such as tickets, or a version such as tickets@3."
            )
        return cls(ExpertName(name), int(number) if at else None)

    def __str__(self) -> str:
        return self.name if self.number is None else f"{self.name}@{self.number}"


def is_name(text: str) -> bool:
    return len(text) <= NAME_LENGTH_MAX and ".." not in text and _NAME.fullmatch(text) is not None


def check_name(text: str, *, reserved: frozenset[str] = frozenset()) -> ExpertName:
    """Accept a name for a new expert: safe as a folder name and as the `model` of a request. Raises RegistryError."""
    if not is_name(text):
        raise RegistryError(
            f"{text!r} cannot be the name of an expert.",
            fix=f"Use up to {NAME_LENGTH_MAX} lowercase letters, digits and - _ . between them, "
            f"for example {name_like(text) or 'tickets'!r}.",
        )
    if text in RESERVED_NAMES or text in reserved:
        raise RegistryError(f"The name {text!r} is taken by Chiliad itself or by a base model.", fix="Choose another.")
    return ExpertName(text)


def name_like(text: str) -> str:
    """The text itself if it is a name, otherwise the nearest one that is; nothing if it has no letter for it."""
    if is_name(text):
        return text
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:NAME_LENGTH_MAX].strip("-")
