"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chiliad.data.decode import check_size
from chiliad.data.table import CELLS_MAX, Table, table_from_rows, too_many_cells
from chiliad.errors import UnreadableFile

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

ROWS_AT_A_TIME = 256


def read_parquet(path: Path) -> Table:
    """Read a Parquet file; lists and structs become Python lists and dicts. Raises DataError."""
    import pyarrow as pa  # here, because only who reads Parquet should wait for it
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            groups = range(file.metadata.num_row_groups)
            check_size(sum(file.metadata.row_group(group).total_byte_size for group in groups), path.name)
            if file.metadata.num_rows * max(1, file.metadata.num_columns) > CELLS_MAX:
                raise too_many_cells(path.name)
            rows = list(_rows(file, path.name))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(
            f"{path.name} is not a whole Parquet file: {error}", fix="Copy or write it again."
        ) from error
    return table_from_rows(rows, path.name)


def _rows(file: ParquetFile, name: str) -> Iterator[dict[str, Any]]:
    """Counts what comes out: a value that is stored once may stand in every row."""
    taken = 0
    for batch in file.iter_batches(batch_size=ROWS_AT_A_TIME):
        taken += batch.nbytes
        check_size(taken, name)
        yield from batch.to_pylist()
