"""Tables for many experts: a folder with a file for each, or one table with a column that names them.

Three more columns are understood in any of these tables, and in a file `manifest.csv` (or .jsonl …) of a folder, which has
a row for each expert: `instruction` and `family`, where all rows of an expert say the same, and `split`, which marks rows
with `train` or `test`. A sub-folder is a family too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from chiliad.data.read import READERS, read_table
from chiliad.data.table import Table, cell_text
from chiliad.errors import ColumnsNotFound, UnreadableFile, UnusableData

EXPERT, INSTRUCTION, FAMILY, SPLIT = "expert", "instruction", "family", "split"
MANIFEST = "manifest"
_BESIDE = ("readme", "license", "licence", "copying", "notice")
"""what lies beside tables in a folder and is none"""


@dataclass(frozen=True)
class Lot:
    """One expert's rows, without the columns that only say what they are for. test: None if no row is marked so."""

    train: Table
    test: Table | None
    instruction: str | None
    family: str | None


@dataclass(frozen=True)
class Member:
    """One expert of a collection, not read yet. label: its name there, which may be none that an expert can have."""

    label: str
    _read: Callable[[], Table]
    _instruction: str | None = None
    _family: str | None = None

    def read(self) -> Lot:
        """Raises DataError, for this expert alone."""
        table = self._read()
        instruction, table = _said(table, INSTRUCTION)
        family, table = _said(table, FAMILY)
        train, test = _divided(table)
        return Lot(train, test, self._instruction or instruction, self._family or family)


def read_collection(path: Path) -> list[Member]:
    """The experts of a folder or a file, in the order of their labels or rows. Files of a folder are read one by one later.

    Raises DataError for a folder without tables, a manifest or a file that cannot be read, and one without the column.
    """
    return _folder(path) if path.is_dir() else members_of(read_table(path))


def members_of(table: Table) -> list[Member]:
    """The experts that the column `expert` names. Raises ColumnsNotFound, UnusableData."""
    column = _column(table, EXPERT)
    if column is None:
        raise ColumnsNotFound(
            f"{table.source} has no column {EXPERT!r}.",
            fix="Add a column that names the expert of each row, or give a folder with a table for each expert.",
        )
    rows: dict[str, list[dict[str, Any]]] = {}
    for number, row in enumerate(table.rows, start=1):
        label = _text(row.get(column), table, number)
        rows.setdefault(label, []).append({name: value for name, value in row.items() if name != column})
    if list(rows) == [""]:
        raise UnusableData(f"The column {column!r} of {table.source} is empty.", fix="Name the expert of each row.")
    columns = tuple(name for name in table.columns if name != column)
    return [
        Member(label, partial(Table, columns, own, f"{table.source}, {label}" if label else table.source))
        for label, own in rows.items()
    ]


def _folder(path: Path) -> list[Member]:
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and not _is_beside(file.relative_to(path))]
    manifests = [file for file in files if file.parent == path and _stem(file) == MANIFEST]
    if len(manifests) > 1:
        raise UnreadableFile(f"{path} has {len(manifests)} manifests.", fix="Leave one of them.")
    told = _manifest(manifests[0]) if manifests else {}
    tables = [file for file in files if file not in manifests]
    if not tables:
        raise UnusableData(
            f"There are no tables in {path}.", fix="Put a CSV, JSONL, Parquet or Excel file there for each."
        )
    members = [_member(file, path, told.pop(_stem(file), {})) for file in tables]
    return [*members, *(Member(label, partial(_missing, path, label)) for label in told)]


def _member(file: Path, root: Path, told: Mapping[str, str]) -> Member:
    folder = file.parent.relative_to(root).as_posix()
    family = told.get(FAMILY) or (None if folder == "." else folder)
    return Member(_stem(file), partial(read_table, file), told.get(INSTRUCTION), family)


def _manifest(path: Path) -> dict[str, dict[str, str]]:
    """label -> what the manifest says of it. A label may be written with the ending of its file."""
    table = read_table(path)
    columns = {mark: _column(table, mark) for mark in (EXPERT, INSTRUCTION, FAMILY)}
    if columns[EXPERT] is None:
        raise ColumnsNotFound(
            f"{path} has no column {EXPERT!r}.",
            fix=f"Give it the columns {EXPERT}, {INSTRUCTION} and {FAMILY}, and a row for each file.",
        )
    told: dict[str, dict[str, str]] = {}
    for number, row in enumerate(table.rows, start=1):
        said = {mark: _text(row.get(name), table, number) for mark, name in columns.items() if name is not None}
        told[_stem(Path(said.pop(EXPERT)))] = said
    return told


def _missing(folder: Path, label: str) -> Table:
    raise UnreadableFile(
        f"The manifest names {label!r}, but {folder} has no such file.", fix="Add it, or take its row out."
    )


def _said(table: Table, mark: str) -> tuple[str | None, Table]:
    """What all rows say in that column, and the table without it; None and the whole table if they differ."""
    column = _column(table, mark)
    if column is None:
        return None, table
    values = {_text(row.get(column), table, number) for number, row in enumerate(table.rows, start=1)}
    if len(values) > 1:
        return None, table
    return values.pop() or None, _without(table, column)


def _divided(table: Table) -> tuple[Table, Table | None]:
    column = _column(table, SPLIT)
    if column is None:
        return table, None
    parts: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    for number, row in enumerate(table.rows, start=1):
        part = _text(row.get(column), table, number).casefold() or "train"
        if part not in parts:
            raise UnreadableFile(
                f"{table.source}, row {number}: {part!r} in the column {column!r}.",
                fix="Write train or test there, or rename the column if it means something else.",
            )
        parts[part].append(row)
    train, test = (_without(replace(table, rows=rows), column) for rows in parts.values())
    return train, test if test.rows else None


def _without(table: Table, column: str) -> Table:
    rows = [{name: value for name, value in row.items() if name != column} for row in table.rows]
    return Table(tuple(name for name in table.columns if name != column), rows, table.source)


def _column(table: Table, mark: str) -> str | None:
    return next((name for name in table.columns if name.strip().casefold() == mark), None)


def _text(value: Any, table: Table, number: int) -> str:
    try:
        return cell_text(value).strip()
    except ValueError as error:
        raise UnreadableFile(f"{table.source}, row {number}: {error}.", fix="Mend that row or leave it out.") from error


def _stem(file: Path) -> str:
    """A file's name without the ending that says its kind."""
    name = file.name
    ending = next((ending for ending in READERS if name.lower().endswith(ending)), file.suffix)
    return name.removesuffix(name[len(name) - len(ending) :]) if ending else name


def _is_beside(file: Path) -> bool:
    return any(part.startswith(".") for part in file.parts) or _stem(file).lower() in _BESIDE
