"""`chiliad serve` as a process of its own: it says where it answers, answers, and stops when told to."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from chiliad.base import DEFAULT_BASE, BaseStore
from chiliad.config import Settings

TIMEOUT_S = 120


@pytest.fixture
def cache():
    """The base cache of this machine, if it has the default base."""
    folder = Settings.load().cache_dir
    if DEFAULT_BASE not in BaseStore(folder).ids():
        pytest.skip("the default base is not in the cache")
    return folder


def start(folder, *arguments, **environment):
    command = [sys.executable, "-c", "from chiliad.cli import main; main()", "serve", *arguments]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHILIAD_")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env={**inherited, **environment}, **pipes)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.real_base
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_it_is_told_to_stop(tmp_path, cache, stop):
    port = free_port()
    with start(tmp_path, "--port", str(port), CHILIAD_API_KEY="key", CHILIAD_CACHE=str(cache)) as process:
        try:
            assert f"http://127.0.0.1:{port}/v1" in process.stdout.readline()
            url = f"http://127.0.0.1:{port}/v1/chat/completions"
            body = {"model": DEFAULT_BASE, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}
            headers = {"Authorization": "Bearer key"}
            reply = httpx.post(url, json=body, headers=headers, timeout=TIMEOUT_S)
            assert reply.json()["model"] == DEFAULT_BASE
            assert httpx.post(url, json=body).status_code == 401
        finally:
            process.send_signal(stop)
            _, complaints = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == 0
    assert complaints == ""


@pytest.mark.real_base
def test_the_first_start_prints_a_link_that_makes_a_browser_the_admin_once(tmp_path, cache):
    port = free_port()
    with start(tmp_path, "--port", str(port), CHILIAD_CACHE=str(cache)) as process:
        try:
            process.stdout.readline()
            address, _, code = process.stdout.readline().strip().rpartition(" ")[2].partition("#")
            assert address == f"http://127.0.0.1:{port}/admin"
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=TIMEOUT_S) as browser:
                assert browser.post("/v1/session", json={"code": code}).json()["role"] == "admin"
                assert browser.post("/v1/admin/keys", json={"name": "me", "role": "admin"}).status_code == 200
            assert httpx.post(f"http://127.0.0.1:{port}/v1/session", json={"code": code}).status_code == 401
        finally:
            process.send_signal(signal.SIGTERM)
            said, complaints = process.communicate(timeout=TIMEOUT_S)
    assert code not in said + complaints, "it is in no log"
    with start(tmp_path, "--port", str(port), CHILIAD_CACHE=str(cache)) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert "admin" not in process.communicate(timeout=TIMEOUT_S)[0], "there is one now"


@pytest.mark.parametrize("arguments", [["--host", "0.0.0.0"], ["--host", "0.0.0.0", "--allow-network"]])
def test_is_not_opened_to_a_network_by_mistake(tmp_path, arguments):
    with start(tmp_path, *arguments) as process:
        said, complaints = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == 2
    assert said == ""
    assert re.search("Fix: .*chiliad keys create", complaints)
    assert "Traceback" not in complaints
