"""Text, and JSON of any shape, as a body may hold it."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, StrictStr

DEPTH_MAX = 100
"""levels of JSON: Python reads nearly a thousand, and can write the fewer of them, the deeper it stands in its own calls"""


def _encodable(text: str) -> str:
    """JSON can spell half a surrogate pair, which is no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half a surrogate pair, which is no text") from None
    return text


def _shallow(value: dict[str, Any]) -> dict[str, Any]:
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX):
        parts = (part for one in level for part in (one.values() if isinstance(one, dict) else one))
        level = [part for part in parts if isinstance(part, dict | list)]
        if not level:
            return value
    raise ValueError(f"it is nested more than {DEPTH_MAX} levels deep")


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    """Python reads `NaN`, which is no JSON, and halves of characters."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:
        raise ValueError("it holds what JSON in UTF-8 cannot hold") from error
    return value


Text = Annotated[StrictStr, AfterValidator(_encodable)]
Nested = Annotated[dict[str, Any], AfterValidator(_shallow)]
JsonObject = Annotated[Nested, AfterValidator(_storable)]
