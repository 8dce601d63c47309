"""Keys, sessions and the audit log on either database."""

import getpass
from hashlib import sha256

import pytest
from sqlalchemy import text

from chiliad.errors import BadKey, KeyNotFound, StoreError
from chiliad.store import AuditLog, Keys, Limits, Role, Sessions
from chiliad.store.audit import acting_as
from chiliad.store.backend import Writers
from chiliad.store.sessions import LIVES_S
from tests.store.conftest import NOON

HOUR_S = 3600.0


@pytest.fixture
def keys(database, clock):
    return Keys(database, clock)


def create(keys, name="laptop", role=Role.APP, **options):
    return keys.create(name, role=role, **options)


def test_a_secret_finds_its_key_and_is_not_kept(keys, database):
    made = create(keys, project="shop", limits=Limits(10, 2000, 1.5))
    assert keys.by_secret(made.secret) == made.key == keys.get(made.key.id)
    assert (made.key.project, made.key.role, made.key.limits) == ("shop", Role.APP, Limits(10, 2000, 1.5))
    assert made.secret.startswith(made.key.prefix)
    assert len(made.secret) >= 43 + len("chil_"), "256 bits"
    with database.read() as connection:
        row = connection.execute(text("SELECT * FROM keys")).mappings().one()
    assert row["secret_hash"] == sha256(made.secret.encode()).hexdigest()
    assert made.secret not in map(str, row.values())
    assert made.secret not in repr(made)


@pytest.mark.parametrize("secret", ["", "chil_", "chil_x", "none", "chil_ü"])
def test_what_is_no_secret_finds_nothing(keys, secret):
    create(keys)
    assert keys.by_secret(secret) is None


def test_a_revoked_key_is_found_no_more_and_stays_listed(keys, clock):
    made = create(keys)
    clock.now += 1
    revoked = keys.revoke(made.key.id)
    assert revoked.revoked_s == clock.now
    clock.now += 1
    assert keys.revoke(made.key.id) == revoked, "a second time changes nothing"
    assert keys.by_secret(made.secret) is None
    assert keys.all() == [revoked]
    with pytest.raises(KeyNotFound, match="keys list"):
        keys.revoke("key-0")


def test_a_key_expires(keys, clock):
    made = create(keys, expires_s=clock.now + HOUR_S)
    clock.now += HOUR_S - 1
    assert keys.by_secret(made.secret)
    clock.now += 1
    assert keys.by_secret(made.secret) is None


def test_who_holds_a_key(keys, clock):
    assert not keys.exist()
    made = create(keys, role=Role.MEMBER)
    assert keys.exist()
    assert not keys.have_admin()
    admin = create(keys, role=Role.ADMIN, expires_s=clock.now + HOUR_S)
    assert keys.have_admin()
    clock.now += HOUR_S
    assert not keys.have_admin(), "it has expired"
    admin = create(keys, role=Role.ADMIN)
    keys.revoke(admin.key.id)
    keys.revoke(made.key.id)
    assert not keys.have_admin()
    assert keys.exist(), "a workspace whose keys were all revoked does not open again"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x" * 101},
        {"name": "a\nb"},
        {"project": ""},
        {"project": "Shop"},
        {"project": "a/b"},
        {"limits": Limits(requests_per_minute=-1)},
        {"limits": Limits(spend_per_month=float("inf"))},
        {"limits": Limits(spend_per_month=float("nan"))},
        {"expires_s": NOON},
        {"expires_s": float("nan")},
    ],
)
def test_a_key_that_cannot_be_is_refused(keys, wrong):
    with pytest.raises(BadKey):
        create(keys, **wrong)
    assert not keys.exist()


def test_what_is_done_to_keys_is_in_the_audit_log(keys, database):
    made = create(keys)
    with acting_as("key-boss"):
        keys.revoke(made.key.id)
        keys.revoke(made.key.id)
    newest, oldest = AuditLog(database).page()
    who = f"os:{getpass.getuser()}"
    assert (oldest.number, oldest.actor, oldest.action, oldest.subject) == (1, who, "key.create", made.key.id)
    assert oldest.details == {"name": "laptop", "project": "default", "role": "app"}
    assert (newest.number, newest.actor, newest.action) == (2, "key-boss", "key.revoke")
    assert made.secret not in str([newest, oldest])


def test_the_audit_log_is_paged_from_the_newest(database, clock):
    log = AuditLog(database, clock)
    for number in range(5):
        log.add("expert.promote", f"tickets@{number}")
    assert [entry.number for entry in log.page(limit=2)] == [5, 4]
    assert [entry.subject for entry in log.page(before=4, limit=2)] == ["tickets@2", "tickets@1"]
    assert log.page()[0].at_s == clock.now


@pytest.mark.parametrize("statement", ["UPDATE audit SET subject = 'key-2'", "DELETE FROM audit"])
def test_the_database_refuses_to_change_the_audit_log(database, statement):
    log = AuditLog(database)
    log.add("key.revoke", "key-1")
    with pytest.raises(StoreError, match="append-only"), database.write(Writers.ACCESS) as connection:
        connection.execute(text(statement))
    assert [entry.subject for entry in log.page()] == ["key-1"]


def test_a_session_lives_for_its_hours_and_its_token_is_not_kept(database, clock):
    sessions = Sessions(database, clock)
    token = sessions.open("key-1")
    other = sessions.open(None)
    assert sessions.find(token).key_id == "key-1"
    assert sessions.find(other).key_id is None
    assert sessions.find("x") is None
    with database.read() as connection:
        assert token not in str(connection.execute(text("SELECT * FROM sessions")).all())
    sessions.close(other)
    assert sessions.find(other) is None
    clock.now += LIVES_S
    assert sessions.find(token) is None
    sessions.open(None)
    with database.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM sessions")) == 1, "the old one is forgotten"
