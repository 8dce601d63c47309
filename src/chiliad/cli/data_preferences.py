"""`chiliad data check` of a table that states preferences."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from chiliad.data import Table


def check_preferences(table: Table, test: Path | None, group: str | None, *, as_json: bool) -> None:
    """Say how many there are of each kind, and how they would be divided for a new expert. Raises DataError."""
    from chiliad.data import assemble_preferences, read_table, to_preferences

    stated = to_preferences(table, group=group)
    held = to_preferences(read_table(test), group=group) if test else None
    kinds = Counter("pairs" if one.is_pair else "good" if one.chosen is not None else "bad" for one in stated)
    dataset = assemble_preferences(stated, test=held, source=table.source)
    parts = dataset.preferences
    assert parts is not None
    split = {"train": len(parts.train), "dev": len(parts.dev), "test": len(parts.test)}
    if as_json:
        about = {"file": table.source, "preferences": dict(kinds), "split": split, "dataset": dataset.hash}
        typer.echo(json.dumps(about, ensure_ascii=False, indent=2))
        return
    counted = [f"{kinds['pairs']:,} pairs"] * bool(kinds["pairs"])
    counted += [f"{kinds[word]:,} {word} answers" for word in ("good", "bad") if kinds[word]]
    typer.echo(f"{table.source} · preferences: {', '.join(counted)}")
    typer.echo(
        f"Split of a new expert: {split['train']} to learn, {split['dev']} for development, {split['test']} for the test. "
        f"Dataset {dataset.hash[:12]}."
    )
