"""`/settings`: what is in force, to look at. It is changed where it was set, and holds from the next start on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

import chiliad
from chiliad.server.opened import Opened
from chiliad.server.state import State
from chiliad.server.web.origin import OUR_FORMS
from chiliad.server.web.render import page

router = APIRouter(include_in_schema=False, dependencies=OUR_FORMS)


@dataclass(frozen=True)
class Line:
    """A setting by the table and the name that it has in `chiliad.toml`; is_own: it is another than by default"""

    table: str
    name: str
    value: str
    is_own: bool


@router.get("/settings")
async def settings(request: Request, workspace: Opened, state: State) -> HTMLResponse:
    tables = {table: list(lines) for table, lines in groupby(_lines(workspace.settings), key=lambda line: line.table)}
    return page(request, "settings.html", tables=tables, machine=state.accounts.price.told, version=chiliad.__version__)


def _lines(tree: Any, table: str = "") -> Iterator[Line]:
    """Fields that are kept out of their owner's `repr` hold secrets: of those only whether they are set is told."""
    for field in fields(tree):
        value = getattr(tree, field.name)
        if is_dataclass(value):
            yield from _lines(value, field.name)
            continue
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        secret = not field.repr and value is not None
        yield Line(table, field.name, "••••••" if secret else _text(value), value != default)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} → {of}" for name, of in value.items())
    if isinstance(value, bool):
        return str(value).lower()
    return "–" if value is None else str(value)
