"""The text of a file: unpacked when it is gzip, decoded when it is UTF-8 or says that it is UTF-16 or UTF-32."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path

from chiliad.errors import UnreadableFile

FILE_BYTES_MAX = 1 << 30
"""of one file, after unpacking"""
EXPANSION_MAX = 200
"""times that a file may grow by unpacking"""
EXPANSION_FREE_BYTES = 64 << 20
"""unpacked bytes up to which no growth is suspicious"""

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF file"),
    (b"SQLite format 3\x00", "a database"),
    *((bytes([0x80, protocol]), "a Python pickle, which Chiliad never opens,") for protocol in range(2, 6)),
)


def read_text(path: Path) -> str:
    """Return the whole text of a file. Raises UnreadableFile, with the byte and line where it stops being text."""
    data = _unpacked(path)
    for signature, kind in _FOREIGN:
        if data.startswith(signature):
            raise UnreadableFile(
                f"{path.name} is {kind} under a name for text.",
                fix="Save it as CSV or JSONL, or give it its real ending.",
            )
    text = _decoded(data, path.name)
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise UnreadableFile(
            f"{path.name}, line {line}: a zero byte, so this is no text, or UTF-16 without its mark.",
            fix="Save it as CSV or JSONL in UTF-8.",
        )
    return text


def unpacked_bytes_max(path: Path) -> int:
    """What a packed file may unpack to: one of megabytes that unpacks to gigabytes is made to do harm."""
    return min(FILE_BYTES_MAX, max(EXPANSION_FREE_BYTES, EXPANSION_MAX * path.stat().st_size))


def check_size(byte_count: int, name: str, *, bytes_max: int = FILE_BYTES_MAX) -> None:
    """Raise UnreadableFile when a file, unpacked, is larger than what is read."""
    if byte_count > bytes_max:
        raise UnreadableFile(
            f"{name} is larger than {bytes_max >> 20} MiB when unpacked.",
            fix="Give a part of it: an expert learns from thousands of rows, not from millions.",
        )


def _unpacked(path: Path) -> bytes:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    bytes_max = unpacked_bytes_max(path) if packed else FILE_BYTES_MAX
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableFile(
            f"{path.name} is a damaged or truncated gzip file: {error}.", fix="Copy or download it again."
        ) from error
    check_size(len(data), path.name, bytes_max=bytes_max)
    return data


def _decoded(data: bytes, name: str) -> str:
    encoding = next((encoding for mark, encoding in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableFile(
            f"{name} is not {encoding.removesuffix('-sig').upper()}: byte 0x{data[error.start]:02X} at position "
            f"{error.start}, line {line}.",
            fix='Save it as UTF-8 (in Excel: "CSV UTF-8"), or convert it, mostly with '
            f"`iconv -f WINDOWS-1252 -t UTF-8 {name} > utf8-{name}`.",
        ) from error
