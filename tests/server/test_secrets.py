"""What nobody may learn: keys from a log, folders from an error, anything from a request that has no key."""

import logging

import pytest
from sqlalchemy import text

from chiliad.adapters.files import WEIGHTS_NAME
from chiliad.base import BaseStore
from chiliad.registry.import_ import import_adapter
from chiliad.server.admin_link import AdminLink
from chiliad.server.caller import COOKIE
from chiliad.store import Role
from chiliad.store.backend import Writers
from chiliad.workspace import Workspace
from tests.registry.tiny import write_adapter
from tests.server.conftest import running
from tests.server.platform import serving

SAID = "what somebody has confided to an expert"
ASK = {"model": "tiny", "messages": [{"role": "user", "content": SAID}], "max_tokens": 1, "store": True}


@pytest.fixture
def logged(caplog):
    """All that the server and its libraries say; every statement to the database, but not the rows that it gives."""
    for name in ("httpx", "httpcore"):  # the client of this very test
        caplog.set_level(logging.CRITICAL, logger=name)
    caplog.set_level(logging.INFO, logger="sqlalchemy")
    caplog.set_level(logging.DEBUG)
    return caplog


def test_no_secret_gets_into_a_log_or_the_audit_log(settings, logged):
    link = AdminLink()
    bootstrap, wrong = "sk-of-whoever-started-it", "chil_wrong-but-perhaps-of-another-server"
    code = link.at("").partition("#")[2]
    with Workspace.open(settings) as workspace:
        service = workspace.service(bases=["tiny"])
        with running(service, workspace=workspace, api_key=bootstrap, admin_link=link) as server, server.http() as http:
            made = server.accounts.keys.create("ann", role=Role.ADMIN).secret
            secrets = [bootstrap, wrong, made, code]
            for secret in (bootstrap, wrong, made):
                for path in ("/v1/models", "/v1/nothing", f"/v1/models?key={secret}&api_key={secret}", "/keys"):
                    http.get(path, headers={"Authorization": f"Bearer {secret}"})
                    http.get(path, headers={"x-api-key": secret, "Accept": "text/html"})
                http.post("/v1/session", json={"key": secret})
                http.post("/v1/session", json={"key": secret, "code": [secret]})
                http.post("/v1/session", content=f'{{"key": "{secret}')
            http.post("/v1/session", json={"code": code})
            secrets.append(http.cookies[COOKIE])
            headers = {"Authorization": f"Bearer {made}"}
            secrets.append(
                http.post("/v1/admin/keys", json={"name": "b", "role": "app"}, headers=headers).json()["secret"]
            )
            assert http.post("/v1/chat/completions", json=ASK, headers=headers).status_code == 200
            broken(server)
            assert http.post("/v1/chat/completions", json=ASK, headers=headers).status_code in (200, 503)
            audit = http.get("/v1/admin/audit", headers=headers).text
    told = logged.text + audit
    assert "ann" in audit
    assert "no such table: answers" in logged.text, "the log is of this server, with what went wrong"
    assert [secret for secret in secrets if secret in told] == []
    assert SAID not in told


def broken(server):
    """From now on the database does not take an answer."""
    with server.accounts.keys._database.write(Writers.FEEDBACK) as connection:
        connection.execute(text("DROP TABLE answers"))


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_does_not_say_where_things_lie(settings, tmp_path, stream, logged):
    base = BaseStore(settings.cache_dir).get("tiny")
    (tmp_path / "adapter").mkdir()
    write_adapter(tmp_path / "adapter", fingerprint=base.fingerprint)
    with Workspace.open(settings) as workspace:
        version = import_adapter(workspace.registry, "tickets", tmp_path / "adapter", base)
        workspace.registry.promote("tickets", version.number)
        (workspace.registry.folder(version.ref) / WEIGHTS_NAME).unlink()
    with serving(settings) as server, server.http() as http:
        reply = http.post("/v1/chat/completions", json={**ASK, "model": "tickets", "stream": stream})
    assert "adapter" in reply.text
    assert str(tmp_path) not in reply.text
    assert "Traceback" not in reply.text
    assert str(settings.workspace) in logged.text


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/feedback"])
def test_a_wrong_key_gets_one_answer_to_whatever_it_asks(service, path):
    with running(service, api_key="sk-right") as server, server.http(headers={"Authorization": "Bearer x"}) as http:
        told = set()
        for model in ("tickets", "tickets@1", "nobody", "", None):
            for stream in (False, True):
                fields = {"prompt": "x", "input": "x", "messages": ASK["messages"], "answer_id": model}
                reply = http.post(path, json={"model": model, "stream": stream, **fields})
                told.add((reply.status_code, reply.text, *sorted(set(reply.headers) - {"date"})))
        assert len(told) == 1
        [(status, *_)] = told
    assert status == 401
