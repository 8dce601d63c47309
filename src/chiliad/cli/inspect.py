"""`chiliad inspect`: what an adapter changes, and whether a smaller one would do."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from chiliad.cli.settings import existing

if TYPE_CHECKING:
    from rich.console import Console

    from chiliad.workspace import Expert
    from chiliad.workspace.inspection import Change, Inspection

PAGES = Path("reports") / "inspections"


def inspect(
    expert: Annotated[str, typer.Argument(metavar="NAME", help="An expert (tickets) or a version of one (tickets@3).")],
    apply: Annotated[
        bool, typer.Option("--apply", help="Make the suggested rank the next version, if the gate agrees.")
    ] = False,
    rank: Annotated[
        int | None, typer.Option(min=1, help="With --apply: this rank instead of the suggested one.")
    ] = None,
    baselines: Annotated[bool, typer.Option(help="With --apply: compare with baselines and write the card.")] = True,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Show what an expert's adapter changes where, and what smaller ranks cost on its development rows.

    Suggests the smallest rank that is as good. With --apply that becomes the
    next version, without any training: the closest adapter of that rank.
    """
    from chiliad.store.files import write_atomic
    from chiliad.workspace import RichReporter, Workspace

    if rank is not None and not apply:
        raise typer.BadParameter("--rank is the rank to apply; give --apply with it.")
    with Workspace.open(existing(workspace), RichReporter()) as ws:
        version = ws.registry.get(expert)
        found = ws.inspect(version.ref)
        page = ws.folder / PAGES / f"{version.name}-{version.number}.html"
        write_atomic(page, found.to_html())
        chosen = rank or found.suggested
        made = ws.prune(version.ref, chosen, baselines=baselines) if apply and chosen else None
    if as_json:
        typer.echo(json.dumps({**found.to_json(), "page": str(page), "applied": _document(made)}, indent=2))
    else:
        _show(found)
        typer.echo(f"Page: {page}")
        if made:
            typer.echo(f"{made.ref} has rank {chosen}." + (f" {made.comparison}." if made.comparison else ""))
    if made and made.refusal:
        raise made.refusal


def _document(made: Expert | None) -> dict[str, object] | None:
    return {"expert": str(made.ref), "live": made.refusal is None} if made else None


def _show(found: Inspection) -> None:
    from rich.console import Console

    console = Console(markup=False, highlight=False, emoji=False)
    console.print(f"{found.expert} · {found.base} · rank {found.rank}")
    _show_sites(console, found)
    _show_costs(console, found)
    console.print(found.suggestion)


def _show_sites(console: Console, found: Inspection) -> None:
    """The mean over layers of each site, and the layer that changes most."""
    from rich.table import Table

    by_site: defaultdict[str, list[Change]] = defaultdict(list)
    for change in found.changes:
        by_site[change.site].append(change)
    grid = Table("matrix", "mean change", "most", "in layer", "effective rank")
    for column in grid.columns[1:]:
        column.justify = "right"
    for site, changes in by_site.items():
        most = max(changes, key=lambda change: change.size)
        size, directions = fmean(one.size for one in changes), fmean(one.effective_rank for one in changes)
        grid.add_row(site, f"{size:.2%}", f"{most.size:.2%}", str(most.layer), f"{directions:.1f}")
    console.print(grid)


def _show_costs(console: Console, found: Inspection) -> None:
    from rich.table import Table

    if not found.costs:
        return
    grid = Table("rank", "exact", "loss", "size")
    for column in grid.columns:
        column.justify = "right"
    for cost in found.costs:
        name = "no adapter" if cost.rank == 0 else str(cost.rank)
        grid.add_row(name, f"{cost.exact:.1%}", f"{cost.loss:.3f}", f"{cost.bytes / 1e6:.2f} MB")
    console.print(grid)
