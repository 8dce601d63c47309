"""JSON answers as flat (path, value) pairs, so that two of them can be compared field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

Field: TypeAlias = tuple[tuple[str | int, ...], str]
"""Where a leaf stands in the object, and the leaf as canonical JSON."""


def parse_object(answer: str) -> dict[str, Any] | None:
    """The JSON object that the whole answer is, or None if it is not one."""
    try:
        parsed = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def flat_fields(value: object, path: tuple[str | int, ...] = ()) -> Iterator[Field]:
    """Every leaf of a JSON value with its path. An empty list or object is a leaf, except the outermost.

    Lists of plain values are bags: their order does not count. Lists that hold objects or lists are compared by
    position, so that two items never lend each other their fields.
    """
    if isinstance(value, dict) and (value or not path):
        for key, child in value.items():
            yield from flat_fields(child, (*path, key))
    elif isinstance(value, list) and value:
        plain = not any(isinstance(child, (dict, list)) for child in value)
        for index, child in enumerate(value):
            yield from flat_fields(child, (*path, "[]" if plain else index))
    else:
        yield path, _leaf(value)


def _leaf(value: object) -> str:
    """One text per value: whitespace in text does not count, 1 and 1.0 are the same, "1" is not 1."""
    if isinstance(value, str):
        return json.dumps(" ".join(value.split()))
    if isinstance(value, float) and value.is_integer():
        return json.dumps(int(value))
    return json.dumps(value)
