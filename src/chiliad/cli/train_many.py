"""`chiliad train --many`: a plan, a live board while it trains, and a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from chiliad.errors import TrainingError

if TYPE_CHECKING:
    from chiliad.workspace.many import Many, ManyReport

SHOWN = 20


def train_many(many: Many, *, dry_run: bool, as_json: bool) -> None:
    """Say what would be done and do it. Experts that could not be trained are an error, once the others are."""
    plan = many.plan()
    if dry_run:
        typer.echo(f"{plan}\nNothing was written.")
        return
    typer.echo(plan, err=True)
    report = many.train(plan)
    if as_json:
        typer.echo(report.to_json())
    else:
        _tell(report)
    if report.failed:
        raise TrainingError(
            f"{len(report.failed)} of {len(report.outcomes)} experts could not be trained.",
            fix=f"{report.page} says why and what to do for each; then give the same command again.",
        )


def _tell(report: ManyReport) -> None:
    for outcome in report.failed[:SHOWN]:
        typer.echo(f"{outcome.name or outcome.label}: {outcome.cause}\n  Fix: {outcome.fix}")
    if len(report.failed) > SHOWN:
        typer.echo(f"and {len(report.failed) - SHOWN} more")
    mean = "" if report.all.score is None else f", mean test score {report.all.score:.1%}"
    typer.echo(f"{len(report.outcomes) - len(report.failed)} experts{mean}")
    gain = report.all.gain
    if gain:
        typer.echo(
            f"{100 * gain.mean:+.1f} points over the best baseline of each on average "
            f"(95 % interval {100 * gain.interval.low:+.1f} to {100 * gain.interval.high:+.1f}); "
            f"{gain.wins} clearly better, {gain.losses} clearly worse"
        )
    typer.echo(f"Report: {report.page}")
