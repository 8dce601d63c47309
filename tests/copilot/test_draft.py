"""From a scripted expert's answers to a query that runs: what goes back to it, and when it is enough."""

import sqlite3
from contextlib import closing

import pytest

from chiliad.config import CopilotSettings
from chiliad.copilot import Draft, select_grammar
from chiliad.store import Column, ReadOnlyFile, Table

RIGHT = "SELECT city FROM clubs WHERE name = 'Persib'"
TRIES_MAX = 3


@pytest.fixture
def database(tmp_path):
    with closing(sqlite3.connect(tmp_path / "clubs.db")) as connection:
        connection.executescript("""
            CREATE TABLE clubs (name TEXT, city TEXT, founded INTEGER);
            INSERT INTO clubs VALUES ('Persib', 'Bandung', 1933), ('Arema Malang', 'Malang', 1987);
        """)
    return ReadOnlyFile(tmp_path / "clubs.db", CopilotSettings())


@pytest.fixture
def draft(database):
    return Draft(database, database.tables(), "Where does Persib play?", tries_max=TRIES_MAX)


def script(draft, *answers):
    """The prompts to which a scripted expert gives its answers."""
    prompts = []
    for answer in answers:
        prompts.append(draft.prompt)
        draft.take(answer)
    return prompts


def test_a_right_query_is_asked_for_once(draft):
    (asked,) = script(draft, RIGHT + " ;\n")
    assert asked == "clubs(name, city, founded number)\nWhere does Persib play?"
    assert draft.done
    assert (draft.best.sql, draft.best.result.rows, draft.best.complaint) == (RIGHT, (("Bandung",),), None)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("SELECT town FROM clubs WHERE name = 'Persib'", "no such column: town"),
        ("SELECT city FROM teams WHERE name = 'Persib'", "no such table: teams"),
        ("SELECT city FROM clubs WHERE name = Persib", "no such column: Persib"),
        ("SELECT city FROM clubs WHERE", "incomplete input"),
        ("", "there is no query"),
        ("DROP TABLE clubs", "only SELECT is allowed"),
        ("SELECT city FROM clubs WHERE city = 'Persib'", "no rows; 'Persib' is not in city but in name"),
        ("SELECT city FROM clubs WHERE name = 'persib'", "no rows; 'persib' is not in name, which has 'Persib'"),
        (
            "SELECT city FROM clubs WHERE name = 'Arema'",
            "no rows; 'Arema' is not in name, which has 'Arema Malang'",
        ),
        ("SELECT MAX(founded) FROM clubs WHERE name = 'Qqqq'", "no rows; 'Qqqq' is not in name"),
        ("SELECT COUNT(*) FROM clubs WHERE founded > 2000", "no rows"),
    ],
)
def test_what_is_wrong_goes_back_to_the_expert(draft, wrong, told):
    _, again = script(draft, wrong, RIGHT)
    assert again.splitlines()[2:] == [f"Tried: {wrong}".rstrip() + ("" if wrong else " "), f"But: {told}"]
    assert draft.done
    assert draft.best.sql == RIGHT
    assert draft.tries[0].complaint == told


def test_a_zero_or_nothing_in_a_row_is_something(tmp_path):
    with closing(sqlite3.connect(tmp_path / "goals.db")) as connection:
        connection.executescript("CREATE TABLE goals (n INTEGER, note TEXT); INSERT INTO goals VALUES (0, NULL)")
    database = ReadOnlyFile(tmp_path / "goals.db", CopilotSettings())
    for sql in ("SELECT n FROM goals", "SELECT note FROM goals", "SELECT SUM(n) FROM goals"):
        assert Draft(database, database.tables(), "?", tries_max=TRIES_MAX).take(sql).complaint is None


def test_tries_are_bounded(draft):
    script(draft, "SELECT a FROM clubs", "SELECT b FROM clubs", "SELECT c FROM clubs")
    assert draft.done
    assert draft.best.sql == "SELECT a FROM clubs"
    assert draft.best.result is None
    with pytest.raises(AssertionError):
        draft.take(RIGHT)


def test_an_expert_that_repeats_itself_is_not_asked_again(draft):
    script(draft, "SELECT a FROM clubs", "SELECT a FROM clubs")
    assert draft.done


def test_that_nothing_fits_may_be_right(draft):
    """So the query that ran is better than later ones that do not."""
    empty = "SELECT city FROM clubs WHERE founded > 2000"
    script(draft, empty, "SELECT x FROM clubs", "SELECT y FROM clubs")
    assert (draft.best.sql, draft.best.result.rows) == (empty, ())


def test_a_text_is_looked_for_where_the_query_looks(tmp_path):
    with closing(sqlite3.connect(tmp_path / "two.db")) as connection:
        connection.executescript(
            "CREATE TABLE a (x TEXT); CREATE TABLE b (x TEXT, y TEXT); INSERT INTO b VALUES ('1', 'k')"
        )
    database = ReadOnlyFile(tmp_path / "two.db", CopilotSettings())
    draft = Draft(database, database.tables(), "?", tries_max=TRIES_MAX)
    assert draft.take("SELECT x FROM b WHERE x = 'k'").complaint == "no rows; 'k' is not in x but in y"


def test_a_grammar_names_the_tables_own_columns_and_no_others():
    source = select_grammar([Table("two words", (Column('a"b', False), Column("n", True))), Table("empty", ())])
    assert '"\\"a\\"\\"b\\""' in source
    assert "two words" in source
    assert "empty" not in source
    wide = Table("wide", tuple(Column(f"a_rather_long_name_of_column_{n}", n % 2 == 0) for n in range(200)))
    assert select_grammar([wide] * 100) is None
    assert select_grammar([]) is None
