import csv
import gzip
import io
import json
import pickle
import random
import zipfile

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiliad.data.decode import FILE_BYTES_MAX, check_size
from chiliad.data.delimited import find_delimiter
from chiliad.data.read import READERS, read_lines, read_table
from chiliad.data.table import ROW_CHARS_MAX
from chiliad.errors import ColumnsNotFound, DataError, UnreadableFile, UnusableData

ROWS = [{"text": "Kartu saya hilang, tolong!", "label": "lost_card"}, {"text": 'She said "hi"\nand left', "label": "ü"}]
CSV = 'text,label\n"Kartu saya hilang, tolong!",lost_card\n"She said ""hi""\nand left",ü\n'
TSV = 'text\tlabel\nKartu saya hilang, tolong!\tlost_card\n"She said ""hi""\nand left"\tü\n'
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS)

FILES = {
    "a.csv": CSV,
    "a.CSV": CSV.replace("\n", "\r\n").replace('""hi""\r\n', '""hi""\n'),
    "bom.csv": b"\xef\xbb\xbf" + CSV.encode(),
    "utf16le.csv": b"\xff\xfe" + CSV.encode("utf-16-le"),
    "utf16be.csv": b"\xfe\xff" + CSV.encode("utf-16-be"),
    "utf32.csv": CSV.encode("utf-32"),
    "old_mac.csv": CSV.replace('""hi""\n', '""hi""|').replace("\n", "\r").replace("|", "\n"),
    "semicolons.csv": CSV.replace("text,label", "text;label").replace('",', '";').replace("left,", "left;"),
    "blank_lines.csv": "\n" + CSV.replace("lost_card\n", "lost_card\n\n\n"),
    "trailing.csv": CSV.replace("text,label\n", "text,label,,\n").replace("lost_card\n", "lost_card,,\n"),
    "a.tsv": TSV,
    "a.csv.gz": gzip.compress(CSV.encode()),
    "packed_without_saying_so.csv": gzip.compress(CSV.encode()),
    "a.jsonl": JSONL,
    "a.ndjson": JSONL.replace("\n", "\r\n"),
    "a.jsonl.gz": gzip.compress(JSONL.encode()),
    "no_newline_at_end.jsonl": JSONL.replace("\n", "\n\n").strip(),
    "array.json": json.dumps(ROWS, indent=2),
}


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", FILES)
def test_text_files(tmp_path, name):
    table = read_table(write(tmp_path, name, FILES[name]))
    assert table.columns == ("text", "label")
    assert table.rows == ROWS
    assert table.source == name


def test_parquet(tmp_path):
    rows = [{"text": "a", "slots": {"city": "Oslo"}, "n": 1}, {"text": "b", "slots": {"city": None}, "n": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").rows == rows


def workbook(folder, *rows, name="a.xlsx"):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(folder / name)
    return folder / name


def test_excel(tmp_path):
    path = workbook(tmp_path, [], ["text", "stars", None], ["good", 5], [], ["bad", 1.5, None])
    table = read_table(path)
    assert table.columns == ("text", "stars")
    assert table.rows == [{"text": "good", "stars": 5}, {"text": "bad", "stars": 1.5}]


def test_excel_takes_the_first_sheet_that_is_visible(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["hidden"])
    book.active.sheet_state = "hidden"
    sheet = book.create_sheet("shown")
    sheet.append(["text", "label"])
    sheet.append(["a", "b"])
    book.save(tmp_path / "a.xlsx")
    assert read_table(tmp_path / "a.xlsx").rows == [{"text": "a", "label": "b"}]


def test_short_rows_lack_their_last_cells(tmp_path):
    assert read_table(write(tmp_path, "a.csv", "a,b\nx\n")).rows == [{"a": "x", "b": None}]


def test_columns_without_a_name_get_one(tmp_path):
    assert read_table(write(tmp_path, "a.csv", ",text,label\n0,x,y\n")).columns == ("unnamed 1", "text", "label")


def test_quotes_in_tab_separated_text_may_be_ordinary_characters(tmp_path):
    table = read_table(write(tmp_path, "a.tsv", 'text\tlabel\n"Hello" he said\tgreeting\n5" pipe\tproduct\n'))
    assert [row["text"] for row in table.rows] == ['"Hello" he said', '5" pipe']


def test_json_lines_are_cut_at_newlines_only(tmp_path):
    table = read_table(write(tmp_path, "a.jsonl", '{"text": "one\u2028two", "label": "\\r"}\n'))
    assert table.rows == [{"text": "one\u2028two", "label": "\r"}]


def test_columns_of_json_lines_are_those_of_all_rows(tmp_path):
    assert read_table(write(tmp_path, "a.jsonl", '{"a": 1}\n{"b": 2, "a": 3}\n')).columns == ("a", "b")


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1).filter(str.strip)


@settings(deadline=None)
@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=8), delimiter=st.sampled_from(",;\t|"))
def test_whatever_csv_writes_is_read_back(tmp_path_factory, rows, delimiter):
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("input", "output"), *rows])
    table = read_table(write(tmp_path_factory.mktemp("csv"), "a.csv", written.getvalue()))
    assert [(row["input"], row["output"]) for row in table.rows] == rows


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("text,label\nhi; there,a\nyou; too,b\n", ","),
        ("text;label\nhi, there;a\nyou, too;b\n", ";"),
        ("text\tlabel\nhi, there; |\ta\n", "\t"),
        ("a|b|c\n1|2|3\n", "|"),
        ("text\nonly one column\n", ","),
        ("", ","),
    ],
)
def test_delimiter_is_found(text, delimiter):
    assert find_delimiter(text) == delimiter


# Bad input: one clear error with cause and fix each.


def refused(path):
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json"])
@pytest.mark.parametrize("content", ["", "\n \n"])
def test_empty_files_are_unusable(tmp_path, name, content):
    error = refused(write(tmp_path, name, content))
    assert isinstance(error, UnusableData)
    assert f"{name} has no rows" in error.cause


def test_a_header_alone_is_unusable(tmp_path):
    assert isinstance(refused(write(tmp_path, "a.csv", "text,label\n")), UnusableData)
    assert isinstance(refused(workbook(tmp_path, ["text", "label"])), UnusableData)
    assert isinstance(refused(write(tmp_path, "a.json", "[]")), UnusableData)


def test_another_encoding_is_refused_with_byte_line_and_command(tmp_path):
    error = refused(write(tmp_path, "a.csv", "text,label\ncafe,drink\ncafé,drink\n".encode("cp1252")))
    assert isinstance(error, UnreadableFile)
    assert error.cause == "a.csv is not UTF-8: byte 0xE9 at position 25, line 3."
    assert "iconv -f WINDOWS-1252 -t UTF-8 a.csv" in error.fix


def test_cut_off_utf16_is_refused(tmp_path):
    assert "not UTF-16" in refused(write(tmp_path, "a.csv", b"\xff\xfe" + "a,b\n1,2".encode("utf-16-le")[:-1])).cause


def test_utf16_without_its_mark_is_refused(tmp_path):
    assert "line 1: a zero byte" in refused(write(tmp_path, "a.csv", CSV[:30].encode("utf-16-le"))).cause


def test_a_row_of_100_megabytes_is_refused(tmp_path):
    row = b"x" * 100_000_000
    for name, content in [
        ("a.csv", b'text,label\nshort,a\n"' + row + b'",b\nshort,c\n'),
        ("a.jsonl", b'{"text": "short", "label": "a"}\n\n{"text": "' + row + b'", "label": "b"}\n'),
    ]:
        error = refused(write(tmp_path, name, content))
        assert "line 3" in error.cause
        assert f"longer than {ROW_CHARS_MAX:,} characters" in error.cause


def test_a_row_may_not_be_long_in_sum_either(tmp_path):
    cells = ",".join(["x" * (ROW_CHARS_MAX // 3)] * 4)
    assert "line 2 is longer" in refused(write(tmp_path, "a.csv", f"a,b,c,d\n{cells}\n")).cause


def test_rows_up_to_the_limit_are_read(tmp_path):
    long = "x" * (ROW_CHARS_MAX - 1)
    assert read_table(write(tmp_path, "a.csv", f"a,b\n{long},y\n")).rows == [{"a": long, "b": "y"}]


def test_a_quote_that_is_left_open_is_refused_where_it_began(tmp_path):
    error = refused(write(tmp_path, "a.csv", 'text,label\n"one\ntwo",a\n"three,b\nfour,c\n'))
    assert "begins on line 4: a quote is not closed" in error.cause


def test_more_cells_than_names_are_refused(tmp_path):
    error = refused(write(tmp_path, "a.csv", "text,label\nfine,a\nWell, no,b\n"))
    assert error.cause == "a.csv, line 3: 3 cells, but there are 2 column names."
    assert "row 2: 3 cells" in refused(workbook(tmp_path, ["text", "label"], ["a", "b", "c"])).cause


def test_two_columns_of_one_name_are_refused(tmp_path):
    error = refused(write(tmp_path, "a.csv", "text,label,text\na,b,c\n"))
    assert isinstance(error, ColumnsNotFound)
    assert "two columns named 'text'" in error.cause


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ('{"a": 1}\n{"a": \n', "line 2, character 7: broken JSON"),
        ('{"a": 1}\n\n{"a": 1} {"a": 2}\n', "line 3, character 10: broken JSON"),
        ('{"a": 1}\n["a"]\n', "line 2: list instead of an object"),
        ('"a"\n', "line 1: str instead of an object"),
        ('{"a": ' + "[" * 100_000 + "\n", "line 1: JSON that cannot be taken in"),
        ('{"a": ' + "9" * 10_000 + "}\n", "line 1: JSON that cannot be taken in"),
        ('[{"a": 1},\n {"a": ]', "line 2, character 8: broken JSON"),
        ('[{"a": 1}, 2]', "element 2: int instead of an object"),
    ],
)
def test_broken_json_is_refused_with_its_line(tmp_path, content, cause):
    assert f"a.jsonl, {cause}" in refused(write(tmp_path, "a.jsonl", content)).cause


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (pickle.dumps({"text": ["a"]}), "Python pickle"),
        (b"PK\x03\x04rest", "Excel workbook"),
        (b"PAR1rest", "Parquet"),
    ],
)
def test_other_files_under_a_text_name_are_refused(tmp_path, content, kind):
    assert kind in refused(write(tmp_path, "a.csv", content)).cause


def test_truncated_files_are_refused(tmp_path):
    packed = gzip.compress(random.Random(0).randbytes(5000))
    assert "truncated gzip" in refused(write(tmp_path, "a.csv.gz", packed[:3000])).cause
    pq.write_table(pa.table({"a": ["x"] * 1000}), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    assert "not a whole Parquet file" in refused(write(tmp_path, "b.parquet", whole[:-100])).cause
    book = workbook(tmp_path, ["a", "b"], ["1", "2"]).read_bytes()
    assert "not a whole .xlsx workbook" in refused(write(tmp_path, "b.xlsx", book[:-100])).cause
    assert "not a whole .xlsx workbook" in refused(write(tmp_path, "c.xlsx", b"\xd0\xcf\x11\xe0" * 100)).cause


def test_an_unknown_ending_lists_the_known_ones(tmp_path):
    error = refused(write(tmp_path, "a.doc", "hello"))
    assert all(ending in error.fix for ending in READERS)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "No such file" in refused(tmp_path / "none.csv").cause
    assert "No such file" in refused(tmp_path / "none.xlsx").cause
    assert "none.parquet cannot be read: No such file" in refused(tmp_path / "none.parquet").cause
    (tmp_path / "folder.csv").mkdir()
    assert "directory" in refused(tmp_path / "folder.csv").cause


def test_a_small_file_that_unpacks_to_too_much_is_refused():
    check_size(FILE_BYTES_MAX, "a.csv")
    with pytest.raises(UnreadableFile, match="larger than 1024 MiB when unpacked"):
        check_size(FILE_BYTES_MAX + 1, "a.csv")


def test_a_file_that_grows_a_thousandfold_is_refused(tmp_path):
    packed = gzip.compress(b"text,label\n" + b"x,y\n" * (20 << 20))
    assert len(packed) < 1 << 20
    assert "when unpacked" in refused(write(tmp_path, "a.csv.gz", packed)).cause


def test_a_workbook_that_grows_a_thousandfold_is_refused(tmp_path):
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * (80 << 20))
    assert "when unpacked" in refused(path).cause


def test_a_few_bytes_do_not_stand_for_millions_of_cells(tmp_path, monkeypatch):
    names = ",".join(f"c{n}" for n in range(16_000))
    assert "cells" in refused(write(tmp_path, "wide.csv", names + "\n" + "a\n" * 5000)).cause
    names = ",".join(f"c{n}" for n in range(100_000))
    assert "columns" in refused(write(tmp_path, "wider.csv", names + "\na\n")).cause
    assert "columns" in refused(write(tmp_path, "a.jsonl", "".join(f'{{"c{n}": 1}}\n' for n in range(20_000)))).cause
    same = pa.table({"text": pa.array(["x" * 1000]).dictionary_encode().take(pa.array([0] * 300_000))})
    pq.write_table(same, tmp_path / "same.parquet")
    assert (tmp_path / "same.parquet").stat().st_size < 100_000
    monkeypatch.setattr("chiliad.data.decode.FILE_BYTES_MAX", 1 << 20)
    monkeypatch.setattr(check_size, "__kwdefaults__", {"bytes_max": 1 << 20})
    assert "when unpacked" in refused(tmp_path / "same.parquet").cause


def test_rows_are_bounded_whatever_they_come_from(monkeypatch, tmp_path):
    monkeypatch.setattr("chiliad.data.table.CELLS_MAX", 100)
    monkeypatch.setattr("chiliad.data.parquet.CELLS_MAX", 100)
    monkeypatch.setattr("chiliad.data.json_lines.ARRAY_CHARS_MAX", 100)
    rows = [{"a": 1}] * 101
    assert "cells" in refused(write(tmp_path, "a.csv", "a\n" + "1\n" * 101)).cause
    assert "cells" in refused(write(tmp_path, "a.jsonl", "{}\n" * 101)).cause
    assert "array" in refused(write(tmp_path, "a.json", json.dumps(rows))).cause
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert "cells" in refused(tmp_path / "a.parquet").cause
    assert len(read_table(write(tmp_path, "b.csv", "a\n" + "1\n" * 100)).rows) == 100


def test_lines_lose_the_white_space_around_them(tmp_path):
    (tmp_path / "choices.txt").write_bytes("refund \r\n\r\n  müde\n".encode())
    assert read_lines(tmp_path / "choices.txt") == ("refund", "müde")
