"""What the pages are, in the order of their links. Each is shown to those whom the table of access lets in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chiliad.server.access import ACCESS
from chiliad.store import Role


@dataclass(frozen=True)
class Link:
    path: str
    title: str
    """in English, as the catalogue knows it"""


LINKS = (
    Link("/", "Experts"),
    Link("/train", "Make an expert"),
    Link("/playground", "Playground"),
    Link("/compare", "Compare"),
    Link("/review", "Review"),
    Link("/copilot", "Co-pilot"),
    Link("/datasets", "Datasets"),
    Link("/jobs", "Jobs"),
    Link("/ledger", "Ledger"),
    Link("/keys", "Keys"),
    Link("/settings", "Settings"),
)


BELOW: Mapping[str, str | tuple[str, ...]] = {"/": "/experts/", "/review": ("/review/", "/suggestions/")}
"""what the paths of pages begin with that belong to a link, where that is not the link's own path"""


def links_for(role: Role | None) -> list[Link]:
    """None stands for somebody who is not signed in, and sees no page."""
    return [] if role is None else [link for link in LINKS if may(role, "GET", link.path)]


def may(role: Role | None, method: str, path: str) -> bool:
    """Whether the route, as it declares its path, lets this role in."""
    return ACCESS[f"{method} {path}"].met_by(role)


def is_here(link: Link, path: str) -> bool:
    """Whether a page belongs to the link: an expert's page to Experts, a job's to Jobs."""
    return path == link.path or path.startswith(BELOW.get(link.path, f"{link.path}/"))
