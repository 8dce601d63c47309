"""`chiliad data audit`: wrong labels, contradictions and leaked tests, before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiliad.cli.settings import looked_at
from chiliad.config import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from chiliad.data import Example, Table
    from chiliad.data.audit import Audit

ROWS_SHOWN_MAX = 10
TEXT_SHOWN_MAX = 60


def audit(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL (chats too), Parquet or Excel.")],
    test: Annotated[Path | None, typer.Option(help="A file of its own with test rows; else a fifth of FILE.")] = None,
    time: Annotated[
        str | None, typer.Option(help="Column with dates or times: the newest rows are the test, not rows by chance.")
    ] = None,
    split_to: Annotated[
        Path | None, typer.Option("--split-to", help="With --time: a new folder for train.jsonl and test.jsonl.")
    ] = None,
    input: Annotated[  # noqa: A002 - the option's name
        list[str] | None, typer.Option("--input", help="Column with the input; several are put one below the other.")
    ] = None,
    output: Annotated[str | None, typer.Option(help="Column with the wanted answer.")] = None,
    group: Annotated[str | None, typer.Option(help="Column whose equal values stay together in the split.")] = None,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="The workspace whose experts are looked at (default: ws).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Find labels that are probably wrong, rows that contradict each other, and test rows that were given away.

    Given away is a test row that is nearly the same as one to learn from, here
    or among those of another expert of the workspace. Nothing is changed or
    left out: you decide what is wrong.
    """
    from chiliad.data import read_table
    from chiliad.workspace.given import numbered_examples

    if split_to is not None and time is None:
        raise typer.BadParameter("--split-to writes the split by time; name its column with --time.")
    columns: dict[str, Any] = {"input": input, "output": output, "group": group}
    table = read_table(file)
    with looked_at(Settings.load(workspace=workspace)) as ws:
        found = ws.audit(table, test=test, time=time, **columns)
    if split_to is not None and time is not None:
        _write_split(table, time, split_to)
    if as_json:
        typer.echo(json.dumps({"file": str(file), **found.to_json()}, ensure_ascii=False, indent=2))
    else:
        _Page(numbered_examples(table, **columns)[1]).show(file, found)


def _write_split(table: Table, column: str, folder: Path) -> None:
    from chiliad.data.audit import time_split
    from chiliad.store.files import staged_folder

    split = time_split(table, column)
    with staged_folder(folder) as stage:
        for name, numbers in (("train", split.older), ("test", split.newer)):
            rows = (json.dumps(table.rows[number - 1], ensure_ascii=False, default=str) for number in numbers)
            (stage / f"{name}.jsonl").write_text("".join(f"{row}\n" for row in rows), "utf-8")


class _Page:
    """What was found, with the beginnings of the rows."""

    def __init__(self, examples: Mapping[int, Example]) -> None:
        from rich.console import Console

        self._examples = examples
        self._console: Console = Console(markup=False, highlight=False, emoji=False)

    def show(self, file: Path, found: Audit) -> None:
        self._console.print(
            f"{file} · task: {found.kind} · {found.train_rows:,} rows for training, {found.dev_rows:,} for development, "
            f"{found.test_rows:,} for the test"
        )
        self._doubts(found)
        self._contradictions(found)
        self._leaks(found)
        for overlap in found.overlaps:
            rows = _listed((*overlap.exact, *overlap.near))
            self._console.print(
                f"Test rows that {overlap.expert} learned from: {len(overlap.exact):,} word for word, "
                f"{len(overlap.near):,} nearly (rows {rows})."
            )
        if found.drift:
            self._console.print(
                f"A simple model is right about {found.drift.by_chance:.1%} of rows taken by chance and "
                f"{found.drift.by_time:.1%} of the newest ones after learning the older."
            )

    def _doubts(self, found: Audit) -> None:
        if found.doubts is None:
            self._console.print("Labels: the answers are no closed set, so none is looked for that is wrong.")
            return
        doubts = found.doubts.found
        self._console.print(
            f"Labels: {len(doubts):,} in doubt; the model that judges agrees with {found.doubts.agreement:.1%} of all."
        )
        rows = [
            (str(one.row), one.given, one.likely, f"{one.likely_confidence:.0%}", self._text(one.row))
            for one in doubts[:ROWS_SHOWN_MAX]
        ]
        self._grid(("row", "label", "rather", "sure", "input"), rows, len(doubts))

    def _contradictions(self, found: Audit) -> None:
        contradictions = found.contradictions
        self._console.print(f"Same input, different answers: {len(contradictions):,} inputs.")
        rows = [
            (_listed(one.rows), _answers(one.answers), _listed(one.minority), self._text(one.rows[0]))
            for one in contradictions[:ROWS_SHOWN_MAX]
        ]
        self._grid(("rows", "answers", "minority", "input"), rows, len(contradictions))
        near = found.near_contradictions or ()
        if near:
            listed = "; ".join(f"{first} and {second}" for first, second in (one.rows for one in near[:ROWS_SHOWN_MAX]))
            more = "; …" if len(near) > ROWS_SHOWN_MAX else ""
            self._console.print(
                f"Nearly the same input, different labels: {len(near):,} pairs of rows ({listed}{more})."
            )

    def _leaks(self, found: Audit) -> None:
        leaks = found.test_leaks
        self._console.print(
            f"Test rows that are nearly the same as one to learn from: {len(leaks):,}; development rows: "
            f"{len(found.dev_leaks):,}."
        )
        rows = [
            (str(one.held), str(one.learned), f"{one.share:.0%}", self._text(one.learned))
            for one in leaks[:ROWS_SHOWN_MAX]
        ]
        where = "row of the test file" if found.separate else "test row"
        self._grid((where, "row to learn from", "in common", "its input"), rows, len(leaks))

    def _grid(self, names: Sequence[str], rows: Sequence[tuple[str, ...]], count: int) -> None:
        from rich.table import Table as Grid

        if not rows:
            return
        grid = Grid(*names)
        for row in rows:
            grid.add_row(*row)
        self._console.print(grid)
        if count > len(rows):
            self._console.print(f"… and {count - len(rows):,} more; --json lists them all.")

    def _text(self, row: int) -> str:
        return _cut(" ".join(self._examples[row].input.split()))


def _answers(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{_cut(answer)} ({count})" for answer, count in counts.items())


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_SHOWN_MAX else f"{text[: TEXT_SHOWN_MAX - 1]}…"


def _listed(rows: Iterable[int]) -> str:
    numbers = list(rows)
    return ", ".join(map(str, numbers[:ROWS_SHOWN_MAX])) + (", …" if len(numbers) > ROWS_SHOWN_MAX else "")
