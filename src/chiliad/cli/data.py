"""`chiliad data`: look at a table of examples before training on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiliad.cli.data_audit import audit
from chiliad.cli.data_preferences import check_preferences
from chiliad.cli.usage import new_app

if TYPE_CHECKING:
    from rich.table import Table as Grid

    from chiliad.data import Columns, Example, Finding, Report, Table

LABELS_SHOWN_MAX = 20

app = new_app("Look at tables of examples before training on them.")
app.command()(audit)


@app.command()
def check(
    file: Annotated[
        Path, typer.Argument(help="CSV, TSV, JSONL (chats too), Parquet or Excel; also .gz of the text kinds.")
    ],
    input: Annotated[  # noqa: A002  the option's name
        list[str] | None, typer.Option("--input", help="Column with the input; several are put one below the other.")
    ] = None,
    output: Annotated[str | None, typer.Option("--output", help="Column with the wanted answer.")] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="Column whose equal values must stay together in a split.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option("--test", help="File with test rows, to be looked at for overlap.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Report what is in a table of examples or preferences, and whether an expert can be trained on it.

    Counts duplicates, contradictions, empty and over-long rows, labels,
    overlap with a test file and likely personal data; shows the split and
    the hash that the dataset will have. Ends with an error if it is unusable.
    """
    from chiliad.config import Settings
    from chiliad.data import check as check_examples
    from chiliad.data import read_table, states_preferences

    table = read_table(file)
    if not input and not output and states_preferences(table):
        check_preferences(table, test, group, as_json=as_json)
        return
    settings = Settings.load()
    columns, examples = _examples(table, input, output, group)
    tests = _examples(read_table(test), columns.inputs, columns.output, columns.group)[1] if test else None
    count_tokens, tokens_max = _token_counter(settings.cache_dir), settings.engine.context_max
    report = check_examples(examples, test=tests, count_tokens=count_tokens, tokens_max=tokens_max)
    if as_json:
        about = {"file": str(file), "columns": _columns_json(columns)}
        typer.echo(json.dumps(about | report.to_json(), ensure_ascii=False, indent=2))
    else:
        _show(file, columns, report)
    if report.problem:
        raise report.problem


def _examples(
    table: Table,
    input: Sequence[str] | None,  # noqa: A002
    output: str | None,
    group: str | None,
) -> tuple[Columns, list[Example]]:
    from chiliad.data import find_columns, to_examples

    columns = find_columns(table, input=input, output=output, group=group)
    return columns, to_examples(table, columns)


def _token_counter(cache_dir: Path) -> Callable[[str], int] | None:
    """The default base model's own count, if that model has been pulled."""
    from chiliad.base import DEFAULT_BASE, BaseStore
    from chiliad.errors import BaseModelError

    try:
        tokenizer = BaseStore(cache_dir).get(DEFAULT_BASE).tokenizer()
    except BaseModelError:
        return None
    return lambda text: len(tokenizer.encode(text))


def _columns_json(columns: Columns) -> dict[str, Any]:
    return {
        "messages": columns.messages,
        "input": list(columns.inputs),
        "output": columns.output,
        "group": columns.group,
    }


def _show(file: Path, columns: Columns, report: Report) -> None:
    from rich.console import Console

    console = Console(markup=False, highlight=False, emoji=False)
    console.print(f"{file} · {columns}")
    console.print(_findings(report))
    if report.labels:
        console.print(_labels(report))
    if report.dataset:
        dataset = report.dataset
        console.print(
            f"Split: {len(dataset.train)} for training, {len(dataset.dev)} for development, {len(dataset.test)} for "
            f"the test. Dataset {dataset.hash[:12]}: this file always gives this split."
        )


def _findings(report: Report) -> Grid:
    from rich.table import Table

    grid = Table("", "rows", "for example rows")
    grid.columns[1].justify = "right"
    grid.add_row("all", f"{report.rows:,}", "")
    grid.add_row(f"usable · task: {report.kind}", f"{report.usable:,}", "")
    about = "about " if report.tokens_estimated else ""
    _add(grid, "input or answer empty", report.empties)
    _add(grid, "repeated exactly", report.duplicates)
    _add(grid, "same input, different answers", report.contradictions)
    _add(grid, f"longer than {about}{report.tokens_max:,} tokens", report.overlong)
    for kind, finding in report.personal.items():
        _add(grid, f"likely personal data: {kind}", finding)
    if report.overlap:
        _add(grid, "input or group also in the test file", report.overlap)
    return grid


def _add(grid: Grid, what: str, finding: Finding) -> None:
    rows = ", ".join(map(str, finding.rows)) + (", …" if finding.count > len(finding.rows) else "")
    grid.add_row(what, f"{finding.count:,}", rows)


def _labels(report: Report) -> Grid:
    from rich.table import Table

    alike = {label: " / ".join(same) for same in report.labels_alike for label in same}
    grid = Table("label", "rows", "note") if alike or report.labels_unseen else Table("label", "rows")
    grid.columns[1].justify = "right"
    for label, count in list(report.labels.items())[:LABELS_SHOWN_MAX]:
        grid.add_row(label, f"{count:,}", *([f"written in several ways: {alike[label]}"] if label in alike else []))
    if len(report.labels) > LABELS_SHOWN_MAX:
        grid.add_row(f"… {len(report.labels) - LABELS_SHOWN_MAX} more labels")
    for label in report.labels_unseen or ():
        grid.add_row(label, "0", "only in the test file")
    return grid
