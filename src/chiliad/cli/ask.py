"""`chiliad ask`: one input, one answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from chiliad.cli.settings import existing
from chiliad.errors import BadRequest


def ask(
    expert: Annotated[str, typer.Argument(metavar="NAME", help="An expert (tickets) or a version of one (tickets@3).")],
    text: Annotated[str, typer.Argument(help="The input; - reads it from standard input.")],
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of the answer.")] = 256,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 gives the likeliest answer.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Makes a random answer repeatable.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask an expert. Works while `chiliad serve` and `chiliad train` run on the same workspace."""
    from chiliad.engine import SamplingParams
    from chiliad.workspace import Workspace
    from chiliad.workspace.asking import asked

    question = _standard_input() if text == "-" else text
    with Workspace.open(existing(workspace)) as ws:
        found = ws.expert(expert)
        sampling = SamplingParams(max_tokens=max_tokens, temperature=temperature, seed=seed)
        answer = asked(ws, found, question, sampling)
    if as_json:
        typer.echo(json.dumps({"expert": str(found.ref), "answer": answer}, ensure_ascii=False))
    else:
        typer.echo(answer)


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise BadRequest(f"The input is not UTF-8: {error.reason} at byte {error.start}.", fix="Convert it.") from error
