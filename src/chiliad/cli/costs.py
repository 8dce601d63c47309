"""`chiliad costs`: what answers cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chiliad.cli.settings import existing

if TYPE_CHECKING:
    from chiliad.ledger import CostReport
    from chiliad.ledger.report import Cost, ExpertCost


def costs(
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="From this day on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Up to before this day (UTC).")] = None,
    project: Annotated[str | None, typer.Option(help="Of one project alone.")] = None,
    hosted: Annotated[list[str] | None, typer.Option(help="A hosted model to compare with; may be repeated.")] = None,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Show what answers cost, per expert, key and day, by the workspace's own prices and beside hosted models.

    The settings under `prices` say what the machine costs; without them an ordinary desktop computer is assumed.
    """
    from chiliad.cli.experts import open_registry
    from chiliad.ledger import Accounts, cost_report
    from chiliad.ledger.elsewhere import HOSTED
    from chiliad.store import Period
    from chiliad.workspace.records import ExpertRecords

    settings = existing(workspace)
    with open_registry(settings) as registry:
        accounts = Accounts(registry.database, settings.prices, elsewhere=settings.elsewhere)
        report = cost_report(
            accounts,
            ExpertRecords(registry, accounts.price),
            period=Period(_seconds(since), _seconds(until)),
            project=project,
            hosted=hosted or HOSTED,
        )
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=2, ensure_ascii=False))
    else:
        _print(report)


def _seconds(day: datetime | None) -> float | None:
    return None if day is None else day.replace(tzinfo=UTC).timestamp()


def _print(report: CostReport) -> None:
    typer.echo(
        f"A working hour of this machine costs {report.machine_per_hour:.4f} {report.currency} ({report.machine})."
    )
    if not report.total.requests:
        typer.echo("Nothing was asked yet.")
        return
    for title, rows in (("expert", report.experts), ("key", report.keys), ("day", report.days)):
        _print_table(title, rows)
    _print_table("all", (report.total,))
    for key in report.keys:
        if key.name is not None:
            typer.echo(f"{key.of} is {key.name}.")
    typer.echo()
    for expert in report.experts:
        typer.echo(_correct(expert, report.currency))
    for line in (*_elsewhere(report), *_trainings(report)):
        typer.echo(line)


def _elsewhere(report: CostReport) -> Iterator[str]:
    total, person, currency = report.total, report.person, report.currency
    if report.people_served is not None:
        yield f"While it works, the machine writes for {report.people_served:.0f} people who read a word a second."
    yield f"\nThe same {total.answers} answers, in money and in seconds of waiting for each:"
    yield _alternative("here", f"{total.cost:.6f} {currency}", total.wait_per_answer_s)
    for one in report.hosted:
        price = "no known price" if one.cost is None else f"{one.cost:.6f} USD"
        yield _alternative(one.model, price, one.seconds_per_answer)
    yield _alternative("a person", f"{person.cost:.2f} {currency}", person.seconds_per_answer) + f"   ({person.told})"


def _alternative(who: str, price: str, seconds: float | None) -> str:
    return f"{who:<28} {price:>20} " + ("-".rjust(8) if seconds is None else f"{seconds:>6.2f} s")


def _trainings(report: CostReport) -> Iterator[str]:
    for one in report.trainings:
        first, newest = one.first, one.newest
        line = f"{one.expert}: the first training took {first.machine_s:.0f} s and {first.cost:.6f} {report.currency}"
        if one.trainings > 1:
            line += f", version {newest.version} {newest.machine_s:.0f} s and {newest.cost:.6f} {report.currency}"
        yield f"{line}."


def _print_table(title: str, rows: Sequence[Cost]) -> None:
    typer.echo(f"\n{title:<28} {'answers':>8} {'prompt':>9} {'answer':>9} {'machine s':>10} {'cost':>12} {'each':>12}")
    for row in rows:
        each = "-" if row.cost_per_answer is None else f"{row.cost_per_answer:.8f}"
        typer.echo(
            f"{row.of:<28} {row.answers:>8} {row.prompt_tokens:>9} {row.answer_tokens:>9} {row.machine_s:>10.2f} "
            f"{row.cost:>12.8f} {each:>12}"
        )


def _correct(expert: ExpertCost, currency: str) -> str:
    if expert.score is None:
        return f"{expert.of}: neither outcomes nor a test score, so nothing is said about correct answers."
    share, source = f"{expert.score.share:.0%} right", expert.score.source
    if expert.cost_per_correct is None:
        return f"{expert.of}: {share} ({source})."
    took = f"{expert.cost_per_correct:.8f} {currency} and {expert.wait_per_correct_s:.2f} s"
    return f"{expert.of}: {took} per correct answer, if {share} ({source})."
