"""`chiliad base`: the base models on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiliad.cli.usage import new_app
from chiliad.config import Settings
from chiliad.errors import BrokenBase

if TYPE_CHECKING:
    from chiliad.base import Base, BaseStore
    from chiliad.base.checkpoint import OnProgress

app = new_app("Fetch and look after base models.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The base model's name, as `base list` shows it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def pull(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A known name (smollm2-135m-q4_1, gemma3-270m-q4-k-m), a GGUF file, a model folder or a Hugging Face id.",
        ),
    ],
    name: Annotated[str | None, typer.Option(help="What to call it here; made from SOURCE by default.")] = None,
    accept_licence: Annotated[
        bool,
        typer.Option("--accept-licence", help="Agree to the terms of a base that has some; without it they are shown."),
    ] = False,
) -> None:
    """Fetch a base model and convert it once."""
    with _progress() as on_progress:
        base = _store().pull(source, name=name, accept_licence=accept_licence, on_progress=on_progress)
    typer.echo(f"{base.id} is ready in {base.path}")
    if base.note:
        typer.echo(f"Note: {base.note}.")
    if base.terms:
        typer.echo(f"Its terms go with it and with every export: {', '.join(path.name for path in base.terms)}.")


@app.command("list")
def list_bases(as_json: AsJson = False) -> None:
    """Show the base models on this machine."""
    bases = [_described(base_id) for base_id in _store().ids()]
    if as_json:
        typer.echo(json.dumps(bases, indent=2, ensure_ascii=False))
    elif not bases:
        typer.echo("No base models yet. `chiliad base pull smollm2-135m-q4_1` fetches the default one.")
    else:
        _print_table(bases)


@app.command()
def show(
    base_id: Id,
    verify: Annotated[bool, typer.Option("--verify", help="Read every byte and compare the fingerprint.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show where one base model comes from and what it is."""
    base = _store().get(base_id, verify=verify)
    described = _details(base)
    if as_json:
        typer.echo(json.dumps({**described, "config": base.config}, indent=2, ensure_ascii=False))
        return
    for key, value in described.items():
        typer.echo(f"{key:<13} {value}")
    if verify:
        typer.echo("The files are the ones that were pulled: the fingerprint is the same.")


@app.command()
def remove(base_id: Id) -> None:
    """Delete a base model from this machine. Experts made on it stay, and need it again to answer."""
    _store().remove(base_id)
    typer.echo(f"Removed {base_id}.")


def _store() -> BaseStore:
    from chiliad.base import BaseStore

    return BaseStore(Settings.load().cache_dir)


def _described(base_id: str) -> dict[str, Any]:
    """One row of the list; a damaged base is shown with its problem instead of hiding the others."""
    try:
        return _details(_store().get(base_id))
    except BrokenBase as error:
        return {"id": base_id, "problem": str(error)}


def _details(base: Base) -> dict[str, Any]:
    return {
        "id": base.id,
        "source": base.source,
        "note": base.note,
        "licence": base.licence,
        "terms": ", ".join(path.name for path in base.terms),
        "architecture": base.architecture,
        "bytes": sum(file.stat().st_size for file in base.path.iterdir()),
        "fingerprint": base.fingerprint,
        "path": str(base.path),
    }


def _print_table(bases: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(
        Column("id", no_wrap=True), "source", "licence", "MB", Column("fingerprint", no_wrap=True), "note", box=None
    )
    for base in bases:
        if "problem" in base:
            table.add_row(base["id"], "", "", "", "", base["problem"], style="red")
        else:
            megabytes, fingerprint = f"{base['bytes'] / 1e6:.0f}", base["fingerprint"][:12]
            table.add_row(base["id"], base["source"], base["licence"], megabytes, fingerprint, base["note"])
    Console(markup=False).print(table)


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """A bar on standard error for what can be counted, a line for what cannot."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def on_progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total or None)
            progress.update(tasks[stage], completed=done, total=total or None)

        yield on_progress
