"""An inspection as one page: where the change is, in how many directions, and what smaller ranks cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from chiliad.evals import wording
from chiliad.evals.plots import score_bar
from chiliad.evals.verdict import percent
from chiliad.models import SITES
from chiliad.workspace.pages import page

if TYPE_CHECKING:
    from chiliad.workspace.inspection.changes import Change
    from chiliad.workspace.inspection.inspection import Inspection, RankCost


@dataclass(frozen=True)
class Heat:
    """A map of sites by layers: the SVG, the sites from the top down, and what its darkest cell stands for."""

    svg: Markup
    sites: tuple[str, ...]
    layers: int
    most: str


def to_html(inspection: Inspection) -> str:
    changes = inspection.changes
    return page(
        "inspection",
        inspection=inspection,
        size=heat_map(changes, lambda change: change.size, percent),
        directions=heat_map(changes, lambda change: change.effective_rank, lambda value: f"{value:.1f}"),
        bar=_bar,
        percent=percent,
        bytes_text=wording.bytes_text,
    )


def heat_map(changes: Sequence[Change], value: Callable[[Change], float], text: Callable[[float], str]) -> Heat:
    """One cell for each changed matrix, its opacity by its value beside the largest; its figure is its tooltip."""
    sites = tuple(site for site in SITES if any(change.site == site for change in changes))
    layers = 1 + max(change.layer for change in changes)
    most = max(map(value, changes)) or 1.0
    cells = "".join(
        f'<rect x="{change.layer}" y="{sites.index(change.site)}" width=".92" height=".92" rx=".12" '
        f'fill-opacity="{0.04 + 0.96 * value(change) / most:.3f}">'
        f"<title>layer {change.layer} {escape(change.site)}: {text(value(change))}</title></rect>"
        for change in changes
    )
    svg = (
        f'<svg class="heat" role="img" aria-label="{len(sites)} sites by {layers} layers, at most {text(most)}" '
        f'viewBox="0 0 {layers} {len(sites)}" preserveAspectRatio="none">{cells}</svg>'
    )
    return Heat(Markup(svg), sites, layers, text(most))


def _bar(cost: RankCost) -> Markup:
    return score_bar(cost.exact, cost.exact, cost.exact, f"rank {cost.rank}: {percent(cost.exact)}")
