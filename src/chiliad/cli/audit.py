"""`chiliad audit`: who did what."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from chiliad.cli.settings import existing


def audit(
    before: Annotated[int | None, typer.Option(min=1, help="Show what came before this number.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Show who did what to keys, experts and versions, the newest first."""
    from chiliad.store import AuditLog, Store

    store = Store.of(existing(workspace))
    try:
        entries = AuditLog(store.database).page(before=before, limit=limit)
    finally:
        store.close()
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in entries], indent=2, ensure_ascii=False))
        return
    for entry in entries:
        when = f"{datetime.fromtimestamp(entry.at_s, UTC):%Y-%m-%d %H:%M:%S}"
        details = "".join(f"  {name} {value}" for name, value in entry.details.items())
        typer.echo(f"{entry.number:>6}  {when}  {entry.actor:<22} {entry.action:<16} {entry.subject}{details}")
