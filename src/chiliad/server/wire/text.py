"""Text, and JSON of any shape, as a body may hold it."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, StrictStr


def _encodable(text: str) -> str:
    """JSON can spell half a surrogate pair, which is no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half a surrogate pair, which is no text") from None
    return text


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    """Python reads `NaN`, which is no JSON, and halves of characters."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError("it holds what JSON in UTF-8 cannot hold") from error
    return value


Text = Annotated[StrictStr, AfterValidator(_encodable)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_storable)]
