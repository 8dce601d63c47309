"""Migrations: every past schema comes up to today's, once, whole, and never down."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from chiliad.errors import StoreError
from chiliad.store import PromotionRow, Store, sqlite_url
from chiliad.store.backend import Writers
from chiliad.store.schema import STEPS, revision
from chiliad.store.tables import SCHEMA, metadata

PAST = sorted((Path(__file__).parent / "schemas").glob("*.sql"))
"""databases as earlier versions of Chiliad left them, with rows"""


@pytest.fixture(params=PAST, ids=lambda path: path.stem)
def past(request, tmp_path):
    path = tmp_path / "chiliad.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(request.param.read_text("utf-8"))
    connection.close()
    return path


def test_the_steps_lead_to_the_tables_of_this_program(database_url):
    store = Store.open(database_url)
    with store.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, metadata)
        assert context.get_current_revision() == revision(SCHEMA)
    assert [one for one in found if "alembic_version" not in str(one)] == []
    store.close()


def test_the_newest_step_is_the_one_that_the_program_knows():
    assert ScriptDirectory(str(STEPS)).get_current_head() == revision(SCHEMA)


def test_a_past_database_comes_up_with_its_rows(past):
    store = Store.open(sqlite_url(past))
    assert store.numbers() == {"tickets": {1, 2, 3}}
    assert store.version("tickets", 3).document["labels"] == ["ä", "b"]
    assert store.aliases() == {"tickets": 2}
    assert store.history("tickets")[-1] == PromotionRow("promote", 2, "2026-01-02T00:00:00+00:00", True, {"delta": 0.5})
    assert store.comparison("tickets", 3, 2) == {"p_value": 0.25}
    assert store.datasets() == {"d1": {"rows": 3}}
    assert store.reserve_version("tickets") == 9
    assert schema_of(store) == SCHEMA
    store.close()


def test_processes_that_open_a_past_database_at_once_migrate_it_once(past):
    code = "import sys; from chiliad.store import Store; print(Store.open(sys.argv[1]).reserve_version('tickets'))"
    opening = [
        subprocess.Popen([sys.executable, "-c", code, sqlite_url(past)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert sorted(int(process.communicate(timeout=120)[0]) for process in opening) == [9, 10, 11]


def test_processes_that_open_an_empty_database_at_once_make_it_once(database_url):
    code = "import sys; from chiliad.store import Store; print(Store.open(sys.argv[1]).reserve_version('a'))"
    opening = [
        subprocess.Popen([sys.executable, "-c", code, database_url], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert sorted(int(process.communicate(timeout=120)[0]) for process in opening) == [1, 2, 3]


def test_a_newer_schema_is_refused_and_left_alone(database_url):
    store = Store.open(database_url)
    with store.database.write(Writers.SCHEMA) as connection:
        connection.execute(text("UPDATE schema_version SET number = 99"))
    with pytest.raises(StoreError, match="Upgrade Chiliad"):
        Store.open(database_url)
    assert schema_of(store) == 99
    store.close()


def test_a_step_that_fails_leaves_the_database_as_it_was(database_url):
    store = Store.open(database_url)
    with store.database.write(Writers.SCHEMA) as connection:
        connection.execute(text("UPDATE schema_version SET number = 0"))  # so the first step meets tables of its names
    with pytest.raises(StoreError, match="already exists"):
        Store.open(database_url)
    assert schema_of(store) == 0
    store.close()


def test_opening_a_current_database_does_not_load_alembic(database_url):
    Store.open(database_url).close()
    code = (
        "import sys; from chiliad.store import Store; Store.open(sys.argv[1]).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, database_url], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def schema_of(store):
    with store.database.read() as connection:
        return connection.scalar(text("SELECT number FROM schema_version"))
