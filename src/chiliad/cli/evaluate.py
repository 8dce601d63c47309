"""`chiliad eval`: what an expert is worth, beside its baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from chiliad.cli.settings import existing


def evaluate(
    expert: Annotated[str, typer.Argument(metavar="NAME", help="An expert (tickets) or a version of one (tickets@3).")],
    data: Annotated[
        Path | None, typer.Option(help="Score on these rows instead of the expert's own frozen test rows.")
    ] = None,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")
    ] = None,
    input: Annotated[  # noqa: A002 - the option's name
        list[str] | None, typer.Option("--input", help="Column of DATA with the input.")
    ] = None,
    output: Annotated[str | None, typer.Option(help="Column of DATA with the wanted answer.")] = None,
    scorer: Annotated[
        Path | None, typer.Option(help="A Python file with score(prediction, reference, input) -> 0..1. It is run.")
    ] = None,
    free: Annotated[bool, typer.Option("--free", help="Do not keep answers to the closed set of labels.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write card.json, card.md and card.html into this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Score an expert beside majority, zero-shot, few-shot, nearest neighbour and linear models, with intervals."""
    from chiliad.evals import EvalOptions
    from chiliad.metrics import load_scorer
    from chiliad.store.files import explain_disk_errors
    from chiliad.workspace import RichReporter, Workspace
    from chiliad.workspace.proof import write_card

    columns: dict[str, Any] = {"input": input, "output": output}
    if out:
        with explain_disk_errors(out):  # told before the work rather than after it
            out.mkdir(parents=True, exist_ok=True)
    with Workspace.open(existing(workspace), RichReporter()) as ws:
        found = ws.expert(expert)
        dataset = ws.test_on(found, data, **columns) if data else None
        custom = load_scorer(scorer) if scorer else None
        card = ws.evaluate(found, dataset, scorer=custom, options=EvalOptions(constrain=not free))
    if out:
        write_card(out, card)
    typer.echo(card.to_json() if as_json else card.to_markdown())
