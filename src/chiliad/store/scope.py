"""Whose things: what a project keeps is seen by that project alone, and by those who see everything."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Self

from sqlalchemy import ColumnElement, Table, true

from chiliad.store.keys import DEFAULT_PROJECT


@dataclass(frozen=True)
class Scope:
    """project: what is made belongs to it; sees_all: what belongs to others is there, too"""

    project: str = DEFAULT_PROJECT
    sees_all: bool = True

    def covers(self, table: Table) -> ColumnElement[bool]:
        """The rows of a `table` with a column `project` that are there."""
        return true() if self.sees_all else table.c.project == self.project


EVERYTHING = Scope()


class Scoped:
    """What is kept for projects; at first everything is there."""

    _scope = EVERYTHING

    def of(self, scope: Scope) -> Self:
        """The same as somebody sees it; what is made through it is theirs."""
        view = copy(self)
        view._scope = scope
        return view


def scope_of(project: str | None) -> Scope:
    """One project's own; None stands for everything."""
    return EVERYTHING if project is None else Scope(project, sees_all=False)
