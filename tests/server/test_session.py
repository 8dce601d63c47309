"""Signing in: the admin link works once, the cookie is out of reach, and a session ends with its key."""

import re

import httpx
import pytest

from chiliad.server.admin_link import GOOD_FOR_S, AdminLink
from chiliad.server.caller import COOKIE
from chiliad.store import Role
from chiliad.store.sessions import LIVES_S
from tests.server.conftest import running


def code_of(link):
    return link.at("http://x").partition("#")[2]


@pytest.fixture
def link():
    return AdminLink()


@pytest.fixture
def now():
    return [1_800_000_000.0]


@pytest.fixture
def server(service, link, now):
    with running(service, admin_link=link, clock=lambda: now[0]) as server:
        yield server


def test_the_link_opens_one_session_of_an_admin_and_no_second(server, link):
    with server.http() as browser, server.http() as thief:
        assert browser.get("/v1/admin/keys").status_code == 401
        reply = browser.post("/v1/session", json={"code": code_of(link)})
        assert reply.json()["role"] == "admin"
        assert browser.get("/v1/admin/keys").status_code == 200
        again = thief.post("/v1/session", json={"code": code_of(link)})
        assert (again.status_code, again.json()["error"]["code"]) == (401, "invalid_code")
        assert thief.get("/v1/admin/keys").status_code == 401
    cookie = reply.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert code_of(link).lower() not in cookie


def test_the_code_is_behind_the_part_of_an_address_that_browsers_send(server, link):
    sent = httpx.Request("GET", link.at(server.url)).url
    assert sent.raw_path == b"/admin"
    assert len(code_of(link)) >= 43, "256 bits"
    page = httpx.get(server.url + "/admin").text
    script = re.search(r"/static/chiliad\.js\?\w+", page)[0]
    assert "history.replaceState" in httpx.get(server.url + script).text


@pytest.mark.parametrize("wrong", [{}, {"code": ""}, {"code": "x"}, {"code": "ü"}, {"key": "none"}, {"key": "ü"}])
def test_what_is_no_credential_opens_nothing(server, link, wrong):
    with server.http() as http:
        reply = http.post("/v1/session", json=wrong)
        assert reply.status_code == 401
        assert COOKIE not in http.cookies
    assert link.redeem(code_of(link)), "the link is still good"


def test_the_link_runs_out():
    now = [0.0]
    link = AdminLink(lambda: now[0])
    now[0] = GOOD_FOR_S
    assert not link.redeem(code_of(link))


def test_a_page_of_another_origin_cannot_use_the_cookie(server, link):
    with server.http() as http:
        http.post("/v1/session", json={"code": code_of(link)})
        reply = http.post("/v1/admin/keys", json={"name": "a"}, headers={"Origin": "http://localhost:1"})
    assert reply.status_code == 403
    assert server.accounts.keys.all() == []


def test_a_session_of_a_key_has_its_role_and_ends_with_it(server):
    made = server.accounts.keys.create("ann", role=Role.VIEWER, project="shop")
    with server.http() as http:
        assert http.post("/v1/session", json={"key": made.secret}).json()["id"] == made.key.id
        assert http.get("/v1/session").json()["project"] == "shop"
        assert http.get("/v1/costs").status_code == 200
        assert http.get("/v1/admin/keys").status_code == 403
        server.accounts.keys.revoke(made.key.id)
        assert http.get("/v1/costs").status_code == 401


def test_a_session_ends_when_it_is_closed_and_after_its_hours(server, now):
    made = server.accounts.keys.create("ann", role=Role.APP)
    with server.http() as http:
        http.post("/v1/session", json={"key": made.secret})
        token = http.cookies[COOKIE]
        assert http.delete("/v1/session").status_code == 204
        assert http.get("/v1/session", headers={"Cookie": f"{COOKIE}={token}"}).status_code == 401
        http.post("/v1/session", json={"key": made.secret})
        assert http.get("/v1/session").status_code == 200
        now[0] += LIVES_S
        assert http.get("/v1/session").status_code == 401
