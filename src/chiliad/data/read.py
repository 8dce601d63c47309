"""Reading any table or chat log from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from chiliad.data.decode import read_text
from chiliad.data.delimited import read_delimited
from chiliad.data.excel import read_excel
from chiliad.data.json_lines import read_json_lines
from chiliad.data.parquet import read_parquet
from chiliad.data.table import Table
from chiliad.errors import UnreadableFile

READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json_lines,
    ".csv.gz": read_delimited,
    ".tsv.gz": read_delimited,
    ".jsonl.gz": read_json_lines,
    ".ndjson.gz": read_json_lines,
    ".json.gz": read_json_lines,
    ".parquet": read_parquet,
    ".xlsx": read_excel,
    ".xlsm": read_excel,
}


def read_table(path: Path) -> Table:
    """Read a file by its ending. Raises UnreadableFile, or UnusableData when there is nothing in it."""
    reader = next((reader for ending, reader in READERS.items() if path.name.lower().endswith(ending)), None)
    if reader is None:
        raise UnreadableFile(
            f"{path.name} has no ending that Chiliad knows.",
            fix=f"Save it as CSV, JSONL, Parquet or Excel ({', '.join(READERS)}).",
        )
    with _explained(path):
        path.open("rb").close()  # so that a missing file is called missing whatever its kind
        return reader(path)


def read_lines(path: Path) -> tuple[str, ...]:
    """Read the lines of a text file that are not blank, without the white space around them. Raises UnreadableFile."""
    with _explained(path):
        return tuple(line.strip() for line in read_text(path).splitlines() if line.strip())


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnreadableFile(
            f"{path} cannot be read: {error.strerror or error}.", fix="Check the path and your rights to the file."
        ) from error
