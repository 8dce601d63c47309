"""`chiliad experts compress`: LoRA experts made small on a basis that they share."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chiliad.cli.settings import existing

if TYPE_CHECKING:
    from chiliad.workspace.compression import Compression


def compress(
    experts: Annotated[list[str], typer.Argument(metavar="NAME...", help="Experts, or versions of them (tickets@3).")],
    rank: Annotated[
        int, typer.Option(min=1, max=256, help="Of the basis: more is nearer to the LoRAs, and larger.")
    ] = 32,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Bring LoRA experts onto one basis, as new versions, and say what it costs each. None of them becomes live by it."""
    from chiliad.workspace import RichReporter, Workspace
    from chiliad.workspace.compression import compress as done

    with Workspace.open(existing(workspace), RichReporter()) as ws, ws.reporter as reporter:
        found = done(ws, experts, rank, reporter)
    if as_json:
        typer.echo(json.dumps([_document(one) for one in found], indent=2))
    else:
        _tell(found)


def _document(one: Compression) -> dict[str, object]:
    return {**asdict(one), "source": str(one.source), "version": str(one.version)}


def _tell(found: list[Compression]) -> None:
    from chiliad.evals.wording import bytes_text

    for one in found:
        scores = ""
        if one.before and one.after:
            scores = f", development rows {one.before.exact:.1%} exact before, {one.after.exact:.1%} after"
            scores += f" (loss {one.before.loss:.3f}, {one.after.loss:.3f})"
        sizes = f"{bytes_text(one.bytes_before)} to {bytes_text(one.bytes_after)}"
        typer.echo(f"{one.source} is {one.version} now: {sizes}, error {one.error:.1%}{scores}")
    errors = [one.error for one in found]
    typer.echo(f"Error {sum(errors) / len(errors):.1%} on average, {max(errors):.1%} at worst, of what they change.")
    typer.echo(
        "None of them is live. `chiliad experts promote NAME@N` compares one with the live version and promotes it."
    )
