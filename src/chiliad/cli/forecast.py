"""`chiliad forecast`: is it worth labelling more, and is training needed at all?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chiliad.cli.settings import existing

if TYPE_CHECKING:
    from chiliad.workspace.forecast import Forecast

PAGES = Path("reports") / "forecasts"


def forecast(
    expert: Annotated[str, typer.Argument(metavar="NAME", help="An expert (tickets) or a version of one (tickets@3).")],
    more: Annotated[
        int | None, typer.Option("--more", min=1, help="Also tell what so many training rows more would give.")
    ] = None,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Tell what score to expect from 2, 5 and 10 times the rows, with 80 % intervals, and whether a prompt would do.

    Trains on an eighth, a quarter and a half of the expert's own rows, which
    takes a little longer than its training did. Stopped or killed, the same
    command goes on.
    """
    from chiliad.store.files import write_atomic
    from chiliad.workspace import RichReporter, Workspace

    with Workspace.open(existing(workspace), RichReporter()) as ws:
        version = ws.registry.get(expert)
        found = ws.forecast(version.ref, more=more)
        page = ws.folder / PAGES / f"{version.name}-{version.number}.html"
        write_atomic(page, found.to_html())
    if as_json:
        typer.echo(json.dumps({**found.to_json(), "page": str(page)}, indent=2))
    else:
        _show(found)
        typer.echo(f"Page: {page}")


def _show(found: Forecast) -> None:
    from rich.console import Console
    from rich.table import Table

    from chiliad.evals.wording import duration_text, interval_text

    grid = Table("training rows", found.metric, "80 % interval", "training takes")
    for column in grid.columns:
        column.justify = "right"
    for run in found.measured:
        grid.add_row(f"{run.rows:,}", f"{run.score:.1%}", "measured", "")
    for outlook in found.outlooks:
        one, seconds = outlook.expected, outlook.train_seconds
        takes = duration_text(seconds) if seconds is not None else ""
        grid.add_row(f"{one.rows:,}", f"{one.middle:.1%}", interval_text(one.interval.low, one.interval.high), takes)
    console = Console(markup=False, highlight=False, emoji=False)
    console.print(grid)
    console.print(found.sentence)
    console.print(found.prompted.sentence)
