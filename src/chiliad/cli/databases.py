"""`chiliad databases`: the SQLite files that experts may be asked about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from chiliad.cli.settings import existing
from chiliad.cli.usage import new_app
from chiliad.config import Settings
from chiliad.errors import UnreadableFile

app = new_app("Add, list and remove the SQLite files that the co-pilot page may query.")

CHUNK_BYTES = 1 << 20

WorkspaceOption = Annotated[Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")]
Name = Annotated[str, typer.Argument(help="The database's name, such as shop.db.")]


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A SQLite file; it is copied.")],
    workspace: WorkspaceOption = None,
) -> None:
    """Look through a SQLite file and copy it into the workspace, where it is only ever read."""
    from chiliad.workspace import Workspace

    if not file.is_file():
        raise UnreadableFile(f"There is no file {file}.", fix="Give the path of a SQLite file.")
    with Workspace.open(Settings.load(workspace=workspace)) as ws, file.open("rb") as opened:
        chunks = iter(lambda: opened.read(CHUNK_BYTES), b"")
        added = ws.databases.add(file.name, chunks, bytes_max=ws.settings.server.upload_bytes_max)
    typer.echo(f"{added.name}: {added.bytes / 1e6:.1f} MB. Ask about it at /copilot.")


@app.command("list")
def list_databases(
    workspace: WorkspaceOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List them with their sizes."""
    from chiliad.workspace import Workspace

    with Workspace.open(existing(workspace)) as ws:
        found = ws.databases.all()
    if as_json:
        typer.echo(json.dumps([{"name": file.name, "bytes": file.bytes} for file in found], indent=2))
        return
    for file in found:
        typer.echo(f"{file.name}  {file.bytes / 1e6:.1f} MB")


@app.command()
def remove(name: Name, workspace: WorkspaceOption = None) -> None:
    """Remove the workspace's copy of a database."""
    from chiliad.workspace import Workspace

    with Workspace.open(existing(workspace)) as ws:
        ws.databases.remove(name)
    typer.echo(f"{name} is removed.")
