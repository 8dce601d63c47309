"""PostgreSQL: a server that comes back, and errors that name the cause and never the password."""

import threading

import pytest

from chiliad.errors import StoreError
from chiliad.store import Store
from chiliad.store.backend import Writers
from tests.postgres import ENCODED, PASSWORD
from tests.store.test_store import version


def refused(url, match):
    with pytest.raises(StoreError, match=match) as error:
        Store.open(url)
    told = f"{error.value} {error.value.fix}"
    assert PASSWORD not in told
    assert ENCODED not in told


def test_what_is_wrong_with_the_place_is_said(postgres):
    refused(postgres.url("postgres", password="wrong"), "refuses this user or password")
    refused(postgres.url("postgres", user="nobody"), "refuses this user or password")
    refused(postgres.url("nowhere"), 'database "nowhere" does not exist.*createdb')
    refused(postgres.url("postgres", port=1), "does not answer: .*Connection refused.*Start the PostgreSQL server")
    refused("postgresql://u:p@nohost.invalid/x", "does not answer")
    refused("postgresql:///x?host=/nowhere/at/all", "does not answer")


def test_a_user_without_rights_is_told_which(postgres):
    url = postgres.new_database()
    postgres.admin("CREATE ROLE visitor LOGIN PASSWORD 'visitor'")
    refused(postgres.url(url.rpartition("/")[2], user="visitor", password="visitor"), "may not be written")


def test_other_spellings_of_the_url_are_understood(postgres):
    url = postgres.new_database()
    first = Store.open(url)
    first.put_versions([version("a", 1)])
    first.close()
    for other in ("postgres", "postgresql+psycopg"):
        store = Store.open(url.replace("postgresql", other, 1) + "?connect_timeout=5")
        assert store.numbers() == {"a": {1}}
        store.close()


def test_a_server_that_restarts_is_found_again(postgres):
    store = Store.open(postgres.new_database())
    store.put_versions([version("a", 1)])
    postgres.stop()
    try:
        with pytest.raises(StoreError, match="does not answer"):
            store.numbers()
    finally:
        postgres.start()
    assert store.numbers() == {"a": {1}}
    store.put_versions([version("a", 2)])
    store.close()


def test_a_connection_lost_in_the_middle_is_said_and_leaves_nothing(postgres):
    store = Store.open(postgres.new_database())
    with pytest.raises(StoreError, match="does not answer"):
        half_written(store, postgres)
    assert store.reserve_version("a") == 1
    store.close()


def half_written(store, postgres):
    with store.database.write(Writers.REGISTRY) as connection:
        connection.exec_driver_sql("INSERT INTO experts (name, next_number) VALUES ('a', 7)")
        postgres.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test_%'")
        connection.exec_driver_sql("SELECT 1")


def test_writers_of_other_rows_do_not_wait(postgres):
    store = Store.open(postgres.new_database())
    done = threading.Event()

    def write():
        with store.database.write(Writers.SCHEMA):
            done.set()

    with store.database.write(Writers.REGISTRY):
        thread = threading.Thread(target=write)
        thread.start()
        assert done.wait(timeout=60)
    thread.join()
    store.close()


def test_a_writer_that_waits_too_long_is_told_by_whom(postgres):
    url = postgres.new_database()
    store, hurried = Store.open(url), Store.open(f"{url}?options=-clock_timeout%3D50")
    with store.database.write(Writers.REGISTRY), pytest.raises(StoreError, match="locked by another process"):
        hurried.reserve_version("a")
    store.close()
    hurried.close()
