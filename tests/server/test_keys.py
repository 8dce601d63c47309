"""`/v1/admin/keys` and `/v1/admin/audit`: made, shown once, used, revoked, and on record."""

import time

import pytest

from chiliad.store import Role
from tests.server.conftest import API_KEY, running

BOOTSTRAP = {"Authorization": f"Bearer {API_KEY}".encode()}


@pytest.fixture(scope="module")
def server(service):
    with running(service, api_key=API_KEY) as server:
        yield server


@pytest.fixture
def admin(server):
    with server.http(headers=BOOTSTRAP) as http:
        yield http


def as_key(server, secret):
    return server.http(headers={"Authorization": f"Bearer {secret}"})


def test_a_key_is_made_used_revoked_and_refused(server, admin):
    limits = {"requests_per_minute": 100, "tokens_per_minute": 100_000, "spend_per_month": 50.0}
    made = admin.post("/v1/admin/keys", json={"name": "shop ä", "project": "shop", "role": "member", **limits}).json()
    assert made["secret"].startswith(made["prefix"])
    assert {name: made[name] for name in limits} == limits
    with as_key(server, made["secret"]) as http:
        assert http.get("/v1/session").json() == {
            "id": made["id"], "name": "shop ä", "role": "member", "project": "shop",
        }  # fmt: skip
        listed = admin.get("/v1/admin/keys")
        assert made["secret"] not in listed.text
        assert made["id"] in [key["id"] for key in listed.json()["data"]]
        revoked = admin.delete(f"/v1/admin/keys/{made['id']}").json()
        assert revoked["revoked_at"] is not None
        reply = http.get("/v1/models")
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")


def test_an_admins_key_makes_keys_and_the_audit_log_says_whose(server, admin):
    boss = admin.post("/v1/admin/keys", json={"name": "boss", "role": "admin"}).json()
    with as_key(server, boss["secret"]) as http:
        made = http.post("/v1/admin/keys", json={"name": "app"}).json()
        http.delete(f"/v1/admin/keys/{made['id']}")
    page = admin.get("/v1/admin/audit", params={"limit": 3}).json()
    told = [(entry["actor"], entry["action"], entry["subject"]) for entry in page["data"]]
    assert told == [
        (boss["id"], "key.revoke", made["id"]),
        (boss["id"], "key.create", made["id"]),
        ("bootstrap", "key.create", boss["id"]),
    ]
    before = admin.get("/v1/admin/audit", params={"before": page["data"][-1]["number"]}).json()
    assert all(entry["number"] < page["data"][-1]["number"] for entry in before["data"])
    assert made["secret"] not in str(page)


def ids_of_keys(admin):
    return [key["id"] for key in admin.get("/v1/admin/keys").json()["data"]]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "a", "role": "king"},
        {"name": "a", "project": "../b"},
        {"name": "a", "token_per_minute": 5},
        {"name": "a", "tokens_per_minute": -5},
        {"name": "a", "spend_per_month": "1e999"},
        {"name": "a", "expires_at": 1},
    ],
)
def test_a_key_that_cannot_be_is_refused(admin, body):
    before = ids_of_keys(admin)
    reply = admin.post("/v1/admin/keys", json=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["fix"]
    assert ids_of_keys(admin) == before


def test_an_unknown_key_is_not_found(admin):
    assert admin.delete("/v1/admin/keys/key-0").json()["error"]["code"] == "key_not_found"


def test_an_expired_key_is_refused(service):
    now = [1_800_000_000.0]
    with running(service, clock=lambda: now[0]) as server:
        made = server.accounts.keys.create("a", role=Role.APP, expires_s=now[0] + 60)
        with as_key(server, made.secret) as http:
            assert http.get("/v1/models").status_code == 200
            now[0] += 60
            assert http.get("/v1/models").status_code == 401


def test_a_key_tells_when_it_was_last_used(server, admin):
    made = admin.post("/v1/admin/keys", json={"name": "a"}).json()
    with as_key(server, made["secret"]) as http:
        http.get("/v1/models")
    deadline = time.monotonic() + 30
    while server.accounts.keys.get(made["id"]).last_used_s is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
