"""Keys take turns at the engine, whatever they ask; where nobody has a key, experts do; who can wait may say so."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Event

import httpx
import pytest

from chiliad.base import BaseStore
from chiliad.registry.import_ import import_adapter
from chiliad.store import Role
from chiliad.workspace import Workspace
from tests.registry.tiny import write_adapter
from tests.server.conftest import TIMEOUT_S
from tests.server.platform import serving
from tests.server.test_load import wait_until

EXPERTS = ("first", "second", "third", "fourth")
MANY = 50
TOKENS = 60


@pytest.fixture
def server(settings, tmp_path):
    """Answers one request at a time."""
    base = BaseStore(settings.cache_dir).get("tiny")
    with Workspace.open(settings) as workspace:
        for number, name in enumerate(EXPERTS):
            folder = tmp_path / name
            folder.mkdir()
            write_adapter(folder, seed=number, fingerprint=base.fingerprint)
            workspace.registry.promote(name, import_adapter(workspace.registry, name, folder, base).number)
    with serving(replace(settings, engine=replace(settings.engine, batch_max=1))) as served:
        yield served


class Client:
    """Sends its requests all at once, each on a thread, and counts its answers."""

    def __init__(self, http, pool, key=None):
        self.connection = http, {"Authorization": f"Bearer {key.secret}"} if key else {}
        self._pool = pool
        self.answered = 0

    def send(self, number, **more):
        return [self._pool.submit(self._ask, EXPERTS[one % len(EXPERTS)], more) for one in range(number)]

    def _ask(self, expert, more):
        body = {"model": expert, "prompt": "x", "max_tokens": TOKENS, "guided_regex": f"a{{{10 * TOKENS}}}", **more}
        http, headers = self.connection
        reply = http.post("/v1/completions", json=body, headers=headers)
        assert reply.status_code == 200, reply.text
        self.answered += 1


@pytest.fixture
def client(server):
    with (
        ThreadPoolExecutor(2 * MANY) as pool,
        server.http(limits=httpx.Limits(max_connections=2 * MANY)) as http,
    ):
        yield partial(Client, http, pool)


@pytest.fixture
def answered_before(server, monkeypatch):
    """How many of a crowd's requests end before a single one that came after them; the engine waits until all are there."""
    engine = server.service._workspace.served("tiny").engine
    step, all_there = engine._core.step, Event()
    monkeypatch.setattr(engine._core, "step", lambda: all_there.wait(TIMEOUT_S) and step())

    def count(one, crowd, *, all_ask=None, **more):
        sent = crowd.send(MANY, **({"model": all_ask} if all_ask else {}))
        wait_until(lambda: engine._core.waiting + len(engine._inbox.arrivals) == MANY)
        [alone] = one.send(1, **more)
        wait_until(lambda: engine._core.waiting + len(engine._inbox.arrivals) == MANY + 1)
        all_there.set()
        alone.result()
        answered = crowd.answered
        for request in sent:
            request.result()
        return answered

    yield count
    all_there.set()


def key(server, name):
    return server.accounts.keys.create(name, role=Role.APP)


def test_a_key_with_one_request_is_not_behind_another_keys_fifty(server, client, answered_before):
    crowd, one = client(key(server, "a")), client(key(server, "b"))
    assert answered_before(one, crowd) < MANY / 2


def test_with_one_key_it_is_first_come_first_served(server, client, answered_before):
    ann = key(server, "a")
    assert answered_before(client(ann), client(ann)) >= MANY - 1


def test_without_keys_experts_take_turns(client, answered_before):
    assert answered_before(client(), client(), all_ask="first", model="second") < MANY / 2


def test_a_request_may_let_all_others_go_first(server, client, answered_before):
    crowd, one = client(key(server, "a")), client(key(server, "b"))
    assert answered_before(one, crowd, priority=100) >= MANY - 1


def test_nobody_overtakes_all_others(http):
    body = {"model": "endless", "prompt": "x", "max_tokens": 1}
    assert http.post("/v1/completions", json={**body, "priority": 3}).status_code == 200
    reply = http.post("/v1/completions", json={**body, "priority": -1})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "priority")
