"""One real server on a loopback port over the real engine, shared by the tests of this folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import openai
import pytest

from chiliad.base import BaseStore
from chiliad.config import ServerSettings
from chiliad.server.process import Server, listen
from tests.base.tiny import write_folder
from tests.server.served import EngineService

TIMEOUT_S = 60
API_KEY = "sk-tëst-key"


@dataclass(frozen=True)
class Running:
    server: Server
    service: object
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
def running(service, settings: ServerSettings | None = None, api_key: str | None = None, workspace=None):
    """A server in a thread, which has stopped when the block ends."""
    settings = settings or ServerSettings()
    listening = threading.Event()
    with listen("127.0.0.1", 0) as listener:
        server = Server(service, settings, api_key=api_key, on_listening=listening.set, workspace=workspace)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            assert listening.wait(TIMEOUT_S)
            yield Running(server, service, listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()


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
