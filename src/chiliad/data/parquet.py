"""Parquet files."""

from __future__ import annotations

from pathlib import Path

from chiliad.data.decode import check_size
from chiliad.data.table import Table, table_from_rows
from chiliad.errors import UnreadableFile


def read_parquet(path: Path) -> Table:
    """Read a Parquet file; lists and structs become Python lists and dicts. Raises DataError."""
    import pyarrow as pa  # here, because only who reads Parquet should wait for it
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            groups = range(file.metadata.num_row_groups)
            check_size(sum(file.metadata.row_group(group).total_byte_size for group in groups), path.name)
            rows = file.read().to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(
            f"{path.name} is not a whole Parquet file: {error}", fix="Copy or write it again."
        ) from error
    return table_from_rows(rows, path.name)
