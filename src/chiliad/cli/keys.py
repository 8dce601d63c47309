"""`chiliad keys`: who may ask the server, and how much."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chiliad.cli.settings import existing
from chiliad.cli.usage import new_app
from chiliad.config import Settings

if TYPE_CHECKING:
    from chiliad.store import Key, Keys

DAY_S = 24 * 3600

app = new_app("Make, list and revoke keys.")

WorkspaceOption = Annotated[Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class RoleName(StrEnum):
    """As `chiliad.store.Role`, which is not loaded for `--help`."""

    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"
    APP = "app"


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, or what for.")],
    role: Annotated[
        RoleName, typer.Option(help="admin: everything; member: asks and sees costs; viewer: sees; app: asks.")
    ] = RoleName.APP,
    project: Annotated[str, typer.Option(help="What its questions and costs belong to.")] = "default",
    expires_in_days: Annotated[float | None, typer.Option(help="When it ends (default: never).")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=0, help="At most so many requests.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(min=0, help="At most so many tokens, in and out.")] = None,
    spend_per_month: Annotated[float | None, typer.Option(min=0, help="At most so much money a month.")] = None,
    workspace: WorkspaceOption = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and show its secret, once.

    From the first key on the server answers nobody without one.
    """
    from chiliad.store import Limits, Role

    limits = Limits(requests_per_minute, tokens_per_minute, spend_per_month)
    expires_s = None if expires_in_days is None else time.time() + expires_in_days * DAY_S
    with _keys(Settings.load(workspace=workspace)) as keys:
        made = keys.create(name, role=Role(role), project=project, limits=limits, expires_s=expires_s)
    if as_json:
        typer.echo(json.dumps({**asdict(made.key), "secret": made.secret}, indent=2, ensure_ascii=False))
        return
    typer.echo(_line(made.key))
    typer.echo(f"Its secret, which cannot be shown again: {made.secret}")


@app.command("list")
def list_keys(workspace: WorkspaceOption = None, as_json: AsJson = False) -> None:
    """Show all keys, the newest first, the revoked ones too."""
    with _keys(existing(workspace)) as keys:
        found = keys.all()
    if as_json:
        typer.echo(json.dumps([asdict(key) for key in found], indent=2, ensure_ascii=False))
    elif not found:
        typer.echo("No keys yet. `chiliad keys create NAME --role admin` makes the first.")
    for key in () if as_json else found:
        typer.echo(_line(key))


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="A key's id, as `chiliad keys list` shows it.")],
    workspace: WorkspaceOption = None,
    as_json: AsJson = False,
) -> None:
    """End a key for good. Servers refuse it from their next request on."""
    with _keys(existing(workspace)) as keys:
        key = keys.revoke(key_id)
    typer.echo(json.dumps(asdict(key), indent=2, ensure_ascii=False) if as_json else _line(key))


@contextmanager
def _keys(settings: Settings) -> Iterator[Keys]:
    from chiliad.store import Keys, Store

    store = Store.of(settings)
    try:
        yield Keys(store.database)
    finally:
        store.close()


def _line(key: Key) -> str:
    limits = {
        "requests/min": key.limits.requests_per_minute,
        "tokens/min": key.limits.tokens_per_minute,
        "a month": key.limits.spend_per_month,
    }
    told = "".join(f"  {value:g} {unit}" for unit, value in limits.items() if value is not None)
    return f"{key.id}  {key.prefix}…  {key.role:<6}  {key.project:<12} {key.name:<20} {_state(key)}{told}"


def _state(key: Key) -> str:
    if key.revoked_s is not None:
        return f"revoked {_day(key.revoked_s)}"
    if key.expires_s is not None:
        return f"{'expires' if key.valid_at(time.time()) else 'expired'} {_day(key.expires_s)}"
    return f"last used {_day(key.last_used_s)}" if key.last_used_s is not None else "never used"


def _day(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"
