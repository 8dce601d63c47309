"""A closed set of answers as a tree of tokens: at each place only tokens that lead to one of them are allowed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from chiliad.errors import BadRequest


@dataclass(frozen=True, eq=False)
class ChoiceNode:
    """A place in the tree. A node without children is the end of an answer."""

    children: dict[int, ChoiceNode] = field(default_factory=dict)

    @property
    def allowed(self) -> tuple[int, ...]:
        return tuple(self.children)

    @property
    def forced(self) -> int | None:
        """The only token that can follow, if there is just one."""
        return next(iter(self.children)) if len(self.children) == 1 else None


class ChoicePath:
    """Where an answer stands among the choices. Implements `Constraint`."""

    def __init__(self, root: ChoiceNode) -> None:
        self._place = root

    @property
    def allowed(self) -> tuple[int, ...]:
        return self._place.allowed

    @property
    def forced(self) -> int | None:
        return self._place.forced

    @property
    def complete(self) -> bool:
        return not self._place.children

    def take(self, token: int) -> None:
        self._place = self._place.children[token]


@lru_cache(maxsize=256)
def choice_tree(choices: tuple[tuple[int, ...], ...]) -> ChoiceNode:
    """Build the tree; equal sets share one. Raises BadRequest for an empty answer or one that begins another."""
    root = ChoiceNode()
    ends: set[int] = set()
    for choice in choices:
        node = root
        for token in choice:
            if id(node) in ends:
                raise _ambiguous()
            node = node.children.setdefault(token, ChoiceNode())
        if node.children:
            raise _ambiguous()
        ends.add(id(node))
    if not root.children or id(root) in ends:
        raise BadRequest("One of the allowed answers has no tokens.", fix="Give every answer at least one token.")
    return root


def _ambiguous() -> BadRequest:
    return BadRequest(
        "One of the allowed answers is the beginning of another.", fix="End every answer with an end-of-turn token."
    )
