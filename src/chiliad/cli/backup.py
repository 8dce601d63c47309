"""`chiliad backup` and `chiliad restore`: a whole workspace to one file, and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chiliad.cli.settings import existing
from chiliad.config import Settings

if TYPE_CHECKING:
    from chiliad.registry.backup import Summary

WorkspaceFolder = Annotated[Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def backup(
    file: Annotated[Path, typer.Argument(help="The new file to write.")],
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Write experts, cards, datasets, files, databases and all rows into one file, while others go on working."""
    from chiliad.cli.experts import open_registry
    from chiliad.registry.backup import back_up
    from chiliad.registry.registry import utc_now

    with open_registry(existing(workspace)) as registry:
        summary = back_up(registry, file, now=utc_now())
    _tell(summary, f"{file} holds", as_json=as_json)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `chiliad backup` wrote.")],
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Make a new workspace from a backup, into SQLite or the PostgreSQL of `database_url`. Nothing is overwritten."""
    from chiliad.registry.backup import restore as restore_from

    settings = Settings.load(workspace=workspace)
    _tell(restore_from(file, settings), f"{settings.workspace} is restored:", as_json=as_json)


def _tell(summary: Summary, subject: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(summary)))
        return
    typer.echo(
        f"{subject} {summary.experts} experts, {summary.files} files ({summary.bytes / 1e6:.1f} MB), "
        f"{summary.rows} database rows."
    )
