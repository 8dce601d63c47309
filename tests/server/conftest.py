"""One real server on a loopback port over the real engine, shared by the tests of this folder."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
import pytest

from chiliad.base import BaseStore
from chiliad.config import PriceSettings, ServerSettings
from chiliad.ledger import Accounts
from chiliad.server import create_app
from chiliad.server.admin_link import AdminLink
from chiliad.server.process import Server, listen
from chiliad.server.service import AnyService
from chiliad.store import Database, sqlite_url
from chiliad.workspace import Workspace
from tests.base.tiny import write_folder
from tests.server.served import EngineService

TIMEOUT_S = 60
API_KEY = "sk-tëst-key"


@dataclass(frozen=True)
class Running:
    server: Server
    service: AnyService
    accounts: Accounts
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def http(self, **options) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=TIMEOUT_S, **options)

    def openai(self, **options) -> openai.OpenAI:
        options = {"api_key": "none", "max_retries": 0, "timeout": TIMEOUT_S, **options}
        return openai.OpenAI(base_url=f"{self.url}/v1", **options)


@contextmanager
def running(
    service: AnyService,
    settings: ServerSettings | None = None,
    api_key: str | None = None,
    admin_link: AdminLink | None = None,
    clock: Callable[[], float] = time.time,
    workspace: Workspace | None = None,
):
    """A server in a thread, with accounts of its own or a workspace's, which has stopped when the block ends."""
    settings = settings or ServerSettings()
    listening = threading.Event()
    opened = nullcontext(workspace.accounts) if workspace else opened_accounts(clock)
    with opened as accounts, listen("127.0.0.1", 0) as listener:
        app = create_app(service, settings, accounts, api_key=api_key, admin_link=admin_link, workspace=workspace)
        server = Server(app, settings, on_listening=listening.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            assert listening.wait(TIMEOUT_S)
            yield Running(server, service, accounts, listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()


@contextmanager
def opened_accounts(clock: Callable[[], float]) -> Iterator[Accounts]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(sqlite_url(Path(folder) / "chiliad.db"))
        accounts = Accounts(database, PriceSettings(machine_per_hour=3600.0, idle_share=0.0), clock)  # 1 a second
        try:
            yield accounts
        finally:
            accounts.close()
            database.close()


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return BaseStore(folder / "cache").pull(
        str(write_folder(folder / "tiny", max_position_embeddings=1024)), name="tiny"
    )


@pytest.fixture(scope="session")
def service(base) -> Iterator[EngineService]:
    service = EngineService(base)
    yield service
    service.close()


@pytest.fixture(scope="session")
def served(service) -> Iterator[Running]:
    with running(service) as running_server:
        yield running_server


@pytest.fixture
def client(served) -> Iterator[openai.OpenAI]:
    with served.openai() as client:
        yield client


@pytest.fixture
def http(served) -> Iterator[httpx.Client]:
    with served.http() as client:
        yield client
