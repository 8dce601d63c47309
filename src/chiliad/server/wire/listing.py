"""Lists that come a page at a time, and what belongs to every kept thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, Literal, TypeVar

from fastapi import Path, Query
from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from chiliad.server.wire.text import Text

WITHOUT_NUL = r"^[^\x00]*$"
"""what databases can search in"""
PAIRS_MAX = 16


def _few(pairs: object) -> object:
    """Looks at the number first: else each of a million pairs gets an error of its own."""
    if isinstance(pairs, dict) and len(pairs) > PAIRS_MAX:
        raise ValueError(f"it has more than {PAIRS_MAX} pairs")
    return pairs


Metadata = Annotated[
    dict[
        Annotated[Text, Field(max_length=64, pattern=WITHOUT_NUL)],
        Annotated[Text, Field(max_length=512, pattern=WITHOUT_NUL)],
    ],
    Field(max_length=PAIRS_MAX),
    BeforeValidator(_few),
]
ID_PATTERN = r"^[A-Za-z0-9_.-]{1,128}$"
Id = Annotated[str, Field(pattern=ID_PATTERN)]
InPath = Annotated[str, Path(pattern=ID_PATTERN)]
After = Annotated[str | None, Query(pattern=ID_PATTERN, description="The last id of the page before.")]
Limit = Annotated[int, Query(ge=1, le=100, description="How many.")]
Order = Annotated[Literal["asc", "desc"], Query(description="By the time of their making.")]

T = TypeVar("T")
Item = TypeVar("Item")


class Page(TypedDict, Generic[T]):
    object: Literal["list"]
    data: list[T]
    first_id: str | None
    last_id: str | None
    has_more: bool


def page_of(found: Sequence[Item], limit: int, on_wire: Callable[[Item], T], id_of: Callable[[Item], str]) -> Page[T]:
    """`found` holds one more than `limit` where there is more."""
    shown = found[:limit]
    return Page(
        object="list",
        data=[on_wire(item) for item in shown],
        first_id=id_of(shown[0]) if shown else None,
        last_id=id_of(shown[-1]) if shown else None,
        has_more=len(found) > limit,
    )
