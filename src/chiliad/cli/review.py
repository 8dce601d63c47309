"""`chiliad review`: kept answers that somebody should look at, learning from what was decided, and forgetting them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from chiliad.cli.settings import existing
from chiliad.cli.usage import new_app

if TYPE_CHECKING:
    from chiliad.store import KeptAnswer, KeptAnswers

SHOWN_CHARS = 60

app = new_app("Look at kept answers, learn from what was decided about them, and forget them.")

WorkspaceOption = Annotated[Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
OfExpert = Annotated[str | None, typer.Option(metavar="NAME", help="Those of one expert alone.")]


class Order(StrEnum):
    """As `chiliad.store.ReviewOrder`, which is not loaded for `--help`."""

    USEFULNESS = "usefulness"
    CERTAINTY = "certainty"
    DISAGREEMENT = "disagreement"
    NEWEST = "newest"


@app.command("list")
def list_answers(
    expert: OfExpert = None,
    order: Annotated[
        Order, typer.Option(help="usefulness: least certain and most disagreed; or one of these alone, or newest.")
    ] = Order.USEFULNESS,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    workspace: WorkspaceOption = None,
    as_json: AsJson = False,
) -> None:
    """Show answers that nobody has decided about."""
    from chiliad.store import ReviewOrder

    with _answers(workspace) as answers:
        found = answers.to_review(ReviewOrder(order), project=None, expert=expert, limit=limit)
    if as_json:
        typer.echo(json.dumps([asdict(answer) for answer in found], indent=2, ensure_ascii=False))
    elif not found:
        typer.echo("Nothing waits. Answers are kept if a request says `store`, or the setting answers.keep.")
    for answer in () if as_json else found:
        typer.echo(_line(answer))


@app.command()
def retrain(
    name: Annotated[str, typer.Argument(help="The expert.")], workspace: WorkspaceOption = None, as_json: AsJson = False
) -> None:
    """Queue a training of the next version with all that was decided; it goes live if it is not worse."""
    _queue("retrain", name, workspace, as_json=as_json)


@app.command()
def prefer(
    name: Annotated[str, typer.Argument(help="The expert.")], workspace: WorkspaceOption = None, as_json: AsJson = False
) -> None:
    """Queue a training towards answers that people called good, away from those that they called bad."""
    _queue("prefer", name, workspace, as_json=as_json)


@app.command()
def purge(
    before: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="From before this day (UTC).")],
    expert: OfExpert = None,
    project: Annotated[str | None, typer.Option(help="Of one project alone.")] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Remove kept answers, decided about or not, with what was said about them. Datasets made with them stay."""
    with _answers(workspace) as answers:
        before_s = before.replace(tzinfo=UTC).timestamp()
        removed = answers.purge(before_s=before_s, project=project, expert=expert)
    typer.echo(f"{removed} answers are gone.")


@contextmanager
def _answers(workspace: Path | None) -> Iterator[KeptAnswers]:
    """The answers alone: looking at them loads no PyTorch."""
    from chiliad.store import KeptAnswers, Store

    settings = existing(workspace)
    store = Store.of(settings)
    try:
        yield KeptAnswers(store.database, settings.answers.retention_days)
    finally:
        store.close()


def _queue(training: Literal["retrain", "prefer"], name: str, workspace: Path | None, *, as_json: bool) -> None:
    from chiliad.workspace import Workspace

    with Workspace.open(existing(workspace)) as ws:
        learn = ws.feedback.retrain if training == "retrain" else ws.feedback.prefer
        job = learn(name, project=None)
    typer.echo(json.dumps(asdict(job), ensure_ascii=False) if as_json else f"Queued: chiliad jobs show {job.id}")


def _line(answer: KeptAnswer) -> str:
    asked = next((turn["content"] for turn in reversed(answer.turns) if turn["role"] == "user"), "")
    return (
        f"{answer.id}  {datetime.fromtimestamp(answer.created_s, UTC):%Y-%m-%d}  {answer.model:<16} "
        f"certain {answer.certainty:4.0%}  against {answer.disagreement:4.0%}  {_short(asked)} -> {_short(answer.text)}"
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARS else f"{line[: SHOWN_CHARS - 1]}…"
