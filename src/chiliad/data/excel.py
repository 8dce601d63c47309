"""Excel workbooks (.xlsx): the first visible sheet, with the values that Excel last computed."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from contextlib import closing
from pathlib import Path
from xml.etree.ElementTree import ParseError

from chiliad.data.decode import check_size, unpacked_bytes_max
from chiliad.data.table import Table, table_from_grid
from chiliad.errors import UnreadableFile

_DAMAGED = (zipfile.BadZipFile, zlib.error, ParseError, KeyError, ValueError, TypeError, EOFError, StopIteration)


def read_excel(path: Path) -> Table:
    """Read the first visible sheet; its first row that is not blank holds the column names. Raises DataError."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
            check_size(unpacked, path.name, bytes_max=unpacked_bytes_max(path))
        return _first_sheet(path)
    except _DAMAGED as error:
        raise UnreadableFile(
            f"{path.name} is not a whole .xlsx workbook (damaged, protected by a password, or an old .xls).",
            fix="Open it in Excel or LibreOffice and save it as .xlsx without a password, or as CSV UTF-8.",
        ) from error


def _first_sheet(path: Path) -> Table:
    from openpyxl import load_workbook  # here, because only who reads Excel should wait for it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl tells of styles and validation rules that it leaves out
        workbook = load_workbook(path, read_only=True, data_only=True)
        try:
            sheet = next(sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible")
            sheet.reset_dimensions()  # what the file says of its own size is often wrong
            with closing(sheet.iter_rows(values_only=True)) as rows:
                return table_from_grid(enumerate(rows, start=1), path.name, "row")
        finally:
            workbook.close()
