"""Somebody's SQLite file: it is read, whatever a query says, and a query takes no more than it may."""

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import replace

import pytest

from chiliad.config import CopilotSettings
from chiliad.errors import FileRefused, QueryError, QueryFailed, QueryRefused
from chiliad.store import Column, ReadOnlyFile, Table

LIMITS = CopilotSettings(query_seconds_max=2.0)
CROSS = "SELECT COUNT(*) FROM " + ", ".join(f"letters AS l{n}" for n in range(8))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "post.db"
    make(path)
    return path


def make(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("""
            CREATE TABLE letters (sender TEXT COLLATE NOCASE, "on day" DATE, weight REAL, pieces INTEGER, seal BLOB, note);
            CREATE VIEW heavy AS SELECT sender FROM letters WHERE weight > 100;
            CREATE VIRTUAL TABLE found USING fts5(text);
            INSERT INTO found VALUES ('hidden');
        """)
        rows = [(f"sender {n}", "2026-11-23", n * 1.5, n, b"\x00\xff", None) for n in range(100)]
        connection.executemany("INSERT INTO letters VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.commit()


@pytest.fixture
def database(path):
    return ReadOnlyFile(path, LIMITS)


def test_tables_and_views_are_told_with_their_kinds_of_columns(database):
    tables = {table.name: table for table in database.tables()}
    assert tables["letters"] == Table(
        "letters",
        (
            Column("sender", False),
            Column("on day", False),
            Column("weight", True),
            Column("pieces", True),
            Column("seal", False),
            Column("note", False),
        ),
    )
    assert tables["heavy"].columns == (Column("sender", False),)
    assert "found" not in tables


def test_a_query_gives_rows(database):
    result = database.run("SELECT sender, weight, seal, note FROM letters WHERE pieces = 2")
    assert result.columns == ("sender", "weight", "seal", "note")
    assert result.rows == (("sender 2", 3.0, "x'00ff'", None),)
    assert not result.cut


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT COUNT(*) FROM letters;",
        "-- how many\nSELECT COUNT(*) FROM letters",
        "SELECT COUNT(*) FROM (SELECT 1 FROM letters)",
        "WITH light AS (SELECT * FROM letters) SELECT COUNT(*) FROM light",
        "SELECT COUNT(*) FROM letters AS a JOIN letters AS b ON a.pieces = b.pieces",
        "SELECT MAX(n) FROM (SELECT ROW_NUMBER() OVER (ORDER BY weight) AS n FROM letters)",
        "SELECT COUNT(*) FROM letters WHERE LOWER(sender) LIKE 'SENDER%' AND STRFTIME('%Y', \"on day\") = '2026'",
        'SELECT COUNT(*) FROM letters GROUP BY "on day" HAVING COUNT(*) > 1 ORDER BY 1 LIMIT 5',
    ],
)
def test_what_reads_is_answered(database, sql):
    assert database.run(sql).rows == ((100,),)


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("INSERT INTO letters (sender) VALUES ('x')", "change"),
        ("UPDATE letters SET weight = 0", "change"),
        ("DELETE FROM letters", "change"),
        ("DROP TABLE letters", "change"),
        ("CREATE TABLE t (x)", "change"),
        ("CREATE TEMP TABLE t (x)", "change"),
        ("CREATE TABLE t AS SELECT * FROM letters", "change"),
        ("ALTER TABLE letters RENAME TO l", "change"),
        ("REINDEX", "change"),
        ("VACUUM", "not allowed"),
        ("VACUUM INTO 'stolen.db'", "not allowed"),
        ("ATTACH '/etc/passwd' AS p", "ATTACH"),
        ("ATTACH ':memory:' AS m", "ATTACH"),
        ("DETACH main", "DETACH"),
        ("PRAGMA query_only = OFF", "PRAGMA"),
        ("PRAGMA writable_schema = ON", "PRAGMA"),
        ("PRAGMA table_info(letters)", "PRAGMA"),
        ("BEGIN", "transaction"),
        ("SAVEPOINT s", "savepoint"),
        ("SELECT load_extension('/tmp/evil.so')", "load_extension"),
        ("SELECT readfile('/etc/passwd')", "readfile"),
        ("SELECT writefile('/tmp/x', 'x')", "writefile"),
        ("SELECT sqlite_version()", "sqlite_version"),
        ("SELECT fts3_tokenizer('x')", "fts3_tokenizer"),
        ("SELECT randomblob(1000000000)", "randomblob"),
        ("SELECT zeroblob(1000000000)", "zeroblob"),
        ("SELECT printf('%1000000000s', 'x')", "printf"),
        ("SELECT * FROM sqlite_master", "sqlite_master"),
        ("SELECT sql FROM sqlite_schema", "sqlite_"),
        ("SELECT * FROM pragma_database_list", "not allowed"),
        ("SELECT COUNT(*) FROM pragma_function_list", "not allowed"),
        ("SELECT * FROM dbstat", "not allowed"),
        ("SELECT COUNT(*) FROM dbstat", "not allowed"),
        ("SELECT * FROM found", "not allowed"),
        ("SELECT COUNT(*) FROM found", "not allowed"),
        ("SELECT * FROM sqlite_stmt", "not allowed"),
        ("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n", "RECURSIVE"),
        ("WITH n(x) AS (SELECT 'a' UNION ALL SELECT x || x FROM n) SELECT x FROM n", "RECURSIVE"),
        ("SELECT 1; DELETE FROM letters", "several statements"),
        ("EXPLAIN DELETE FROM letters", "change"),
    ],
)
def test_what_would_do_more_is_not_run(database, path, sql, why):
    before = path.read_bytes()
    with pytest.raises(QueryError) as told:
        database.run(sql)
    if isinstance(told.value, QueryFailed):  # such a function or table is not even there
        assert "no such" in told.value.said
    else:
        assert why in told.value.cause
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_refusing_is_not_only_the_authorizers_work(path):
    """The file itself is opened so that it cannot be written."""
    with closing(ReadOnlyFile(path, LIMITS)._open()) as connection, pytest.raises(sqlite3.OperationalError):
        connection.execute("DELETE FROM letters")


@pytest.mark.parametrize(
    "sql",
    [
        CROSS,
        "SELECT * FROM letters AS a, letters AS b, letters AS c, letters AS d ORDER BY a.weight + b.weight, c.sender",
        "SELECT a.sender FROM letters AS a WHERE (" + CROSS + ") > 0",
    ],
)
def test_what_takes_too_long_ends(path, sql):
    began = time.monotonic()
    with pytest.raises(QueryFailed, match="too long"):
        ReadOnlyFile(path, replace(LIMITS, query_seconds_max=0.3)).run(sql)
    assert time.monotonic() - began < 20


def test_what_takes_too_many_steps_ends_however_quick_the_machine(path):
    with pytest.raises(QueryFailed, match="too long"):
        ReadOnlyFile(path, replace(LIMITS, query_seconds_max=3600.0, query_steps_max=100_000)).run(CROSS)


def test_a_result_ends_at_its_rows_and_at_its_bytes(path):
    many = "SELECT a.sender, b.sender FROM letters AS a, letters AS b, letters AS c"
    by_rows = ReadOnlyFile(path, replace(LIMITS, query_rows_max=7)).run(many)
    assert (len(by_rows.rows), by_rows.cut) == (7, True)
    by_bytes = ReadOnlyFile(path, replace(LIMITS, query_bytes_max=200)).run(many)
    assert by_bytes.cut
    assert sum(len(value) for row in by_bytes.rows for value in row) <= 200


def test_a_value_is_cut_where_it_gets_too_long_to_look_at(database):
    ten = "REPLACE(HEX('aaaaa'), '6', 'bbbbbbbbbb')"
    result = database.run(f"SELECT REPLACE({ten}, 'b', {ten}), 9e999, -9e999")
    (text, high, low), cut = result.rows[0], result.cut
    assert (len(text), cut) == (2001, True)
    assert (high, low) == ("Inf", "-Inf")


def test_a_value_that_grows_beyond_all_bounds_is_none(database):
    text = "'aaaaaaaaaa'"
    for _ in range(8):
        text = f"REPLACE({text}, 'a', 'aaaaaaaaaa')"
    with pytest.raises(QueryFailed, match="too big"):
        database.run(f"SELECT {text}")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("", "no query"),
        ("-- nothing", "no query"),
        ("SELEC 1", "syntax error"),
        ("SELECT nobody FROM letters", "no such column: nobody"),
        ("SELECT 1 FROM nowhere", "no such table: nowhere"),
        ("SELECT 'a\x00b'", "no text"),
        ("SELECT '\ud800'", "no text"),
        ("SELECT " + "(" * 300 + "1" + ")" * 300, "depth|stack overflow"),
        ("SELECT '" + "x" * 10_001 + "'", "characters"),
        ("SELECT " + ", ".join("1" * 300), "300 columns"),
        ("SELECT 1" + " UNION ALL SELECT 1" * 50, "too many terms"),
        ("SELECT ?", "binding"),
    ],
)
def test_what_is_wrong_is_said_in_the_databases_own_words(database, sql, said):
    with pytest.raises(QueryFailed) as told:
        database.run(sql)
    assert any(part in told.value.said for part in said.split("|")), told.value.said


def test_refused_and_failed_are_told_apart(database):
    with pytest.raises(QueryRefused):
        database.run("PRAGMA user_version")


def test_texts_of_a_column(database):
    assert database.has("letters", "sender", "SENDER 3"), "as the column itself compares"
    assert not database.has("letters", "note", "it's")
    assert len(database.texts("letters", "sender")) == 100


@pytest.mark.parametrize("content", [b"", b"hello", b"SQLite format 3\x00" + b"\xff" * 4000])
def test_what_is_no_database_is_refused(tmp_path, content):
    path = tmp_path / "x.db"
    path.write_bytes(content)
    opened = ReadOnlyFile(path, LIMITS)
    if content:
        for look in (opened.check, opened.tables, lambda: opened.run("SELECT 1 FROM letters")):
            with pytest.raises(FileRefused):
                look()
    else:
        assert opened.tables() == ()  # as SQLite sees it, an empty file is an empty database


def test_a_broken_database_is_refused(path):
    content = bytearray(path.read_bytes())
    content[5000:9000] = os.urandom(4000)
    path.write_bytes(content)
    with pytest.raises(FileRefused):
        ReadOnlyFile(path, LIMITS).check()


def test_a_link_is_not_followed(path, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with pytest.raises(FileRefused):
        ReadOnlyFile(link, LIMITS).tables()


def test_a_journal_beside_the_file_is_not_played_back(path, tmp_path):
    """One that was put there would be written into the database by whoever opens it for writing."""
    (tmp_path / "post.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\x00" * 600)
    before = path.read_bytes()
    assert ReadOnlyFile(path, LIMITS).run("SELECT COUNT(*) FROM letters").rows == ((100,),)
    assert path.read_bytes() == before


def test_a_schema_with_a_trap_does_not_spring(tmp_path):
    """A view that calls what a query may not call is refused like the query."""
    path = tmp_path / "trap.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE t (x); CREATE VIEW trap AS SELECT randomblob(900000000) AS b; "
            "CREATE VIEW spy AS SELECT sql FROM sqlite_master;"
        )
    for view in ("trap", "spy"):
        with pytest.raises(QueryError):
            ReadOnlyFile(path, LIMITS).run(f"SELECT * FROM {view}")
