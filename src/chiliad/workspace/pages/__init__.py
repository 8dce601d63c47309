"""Pages for people that stand alone: no script, no request, and every text from data escaped."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["page"]


def page(template: str, **content: Any) -> str:
    """The page of that template in this folder, on the sheet that all share."""
    return _environment().get_template(f"{template}.html.jinja").render(**content)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("chiliad.workspace.pages", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
