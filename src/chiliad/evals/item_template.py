"""Texts with places for what an eval's item and the answer to it hold: `{{item.question}}`, `{{sample.output_text}}`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from chiliad.errors import EvalError

_PLACE = re.compile(r"\{\{([^{}]*)\}\}")
_STEP = re.compile(r"[^.\[\]]+")


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Put the values into their places; one that is no text is written as JSON. Raises EvalError where there is none."""
    return _PLACE.sub(lambda place: _text(look_up(place.group(1).strip(), values)), template)


def look_up(path: str, values: Mapping[str, Any]) -> Any:
    """What is at `item.messages[0].content`. Raises EvalError."""
    found: Any = values
    for step in _STEP.findall(path):
        try:
            found = found[int(step)] if isinstance(found, list) else found[step]
        except (LookupError, ValueError, TypeError):
            raise EvalError(
                f"There is no {path[:100]!r} here.", fix="Use the names that the items have, such as {{item.input}}."
            ) from None
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
