"""`chiliad jobs`: what is done in the background, and steering it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiliad.cli.settings import existing
from chiliad.cli.usage import new_app

if TYPE_CHECKING:
    from chiliad.store import Job, Jobs

app = new_app("List, watch and steer background jobs.")

JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, as `chiliad jobs list` shows it.")]
WorkspaceFolder = Annotated[Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("list")
def list_jobs(
    after: Annotated[str | None, typer.Option(help="Show jobs older than this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 20,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show jobs, the newest first."""
    with _jobs(workspace) as jobs:
        page = jobs.page(after=after, limit=limit)
    if as_json:
        typer.echo(json.dumps([asdict(job) for job in page], indent=2, ensure_ascii=False))
        return
    for job in page:
        typer.echo(_line(job))


@app.command()
def show(
    job_id: JobId,
    after: Annotated[int, typer.Option(min=0, help="Show events after this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many events.")] = 100,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show one job and what happened to it."""
    with _jobs(workspace) as jobs:
        job, events = jobs.get(job_id), jobs.events(job_id, after=after, limit=limit)
    if as_json:
        typer.echo(json.dumps({**asdict(job), "events": [asdict(one) for one in events]}, indent=2, ensure_ascii=False))
        return
    typer.echo(_line(job))
    for event in events:
        figures = "".join(f"  {name} {value:g}" for name, value in (event.data or {}).items() if value is not None)
        typer.echo(f"{event.number:>5}  {_time(event.at_s)}  {event.text}{figures}")
    for name, value in (job.error or job.result or {}).items():
        typer.echo(f"{name:<9} {value}")


@app.command()
def cancel(job_id: JobId, workspace: WorkspaceFolder = None, as_json: AsJson = False) -> None:
    """End a job for good; a running one ends within seconds."""
    with _jobs(workspace) as jobs:
        _tell(jobs.cancel(job_id), as_json=as_json)


@app.command()
def pause(job_id: JobId, workspace: WorkspaceFolder = None, as_json: AsJson = False) -> None:
    """Lay a job down; a training goes on from its checkpoint when it is resumed."""
    with _jobs(workspace) as jobs:
        _tell(jobs.pause(job_id), as_json=as_json)


@app.command()
def resume(job_id: JobId, workspace: WorkspaceFolder = None, as_json: AsJson = False) -> None:
    """Queue a paused job again."""
    with _jobs(workspace) as jobs:
        _tell(jobs.resume(job_id), as_json=as_json)


@contextmanager
def _jobs(workspace: Path | None) -> Iterator[Jobs]:
    """The jobs alone: looking at them loads no PyTorch."""
    from chiliad.store import Jobs, Store

    store = Store.of(existing(workspace))
    try:
        yield Jobs(store.database)
    finally:
        store.close()


def _tell(job: Job, *, as_json: bool) -> None:
    typer.echo(json.dumps(asdict(job), ensure_ascii=False) if as_json else _line(job))


def _line(job: Job) -> str:
    wish = f" (asked to {job.wish})" if job.wish else ""
    return f"{job.id}  {_time(job.created_s)}  {job.kind:<9} {_subject(job.document):<20} {job.state}{wish}"


def _subject(document: Any) -> str:
    return str(document.get("name") or document.get("expert") or "")


def _time(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S}"
