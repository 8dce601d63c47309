"""Other people's clients, unmodified, against a live server: `make clients`, or `pytest clients -k "openai or llm"`.

Each has a script (check_NAME.py) and exactly pinned requirements (requirements/NAME.txt), and runs in a virtual
environment of its own, which holds nothing of Chiliad. The server is `chiliad serve` over an empty workspace and the
default base; the clients get its URL and a member's key. Nothing is fetched but their packages.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements"
VENVS = HERE.parent / ".venv-clients"
CLIENTS = sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))
START_S = 300
STOP_S = 60
INSTALL_S = 900
CLIENT_S = 900
OURS = ("CHILIAD_", "OPENAI_", "PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT", "PYTEST_", "PYTHONPATH", "VIRTUAL_ENV")
"""beginnings of variables that say something about us, and that a client would not have"""
SHOWN_CHARS = 6000


@dataclass(frozen=True)
class Live:
    """A server: `/v1` under its url, a member's key, and what it says."""

    url: str
    key: str
    log: Path


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """`chiliad serve` with its worker; when it is asked to, it stops by itself."""
    folder, port, bootstrap = tmp_path_factory.mktemp("live"), free_port(), secrets.token_hex()
    environ = {**os.environ, "CHILIAD_WORKSPACE": str(folder / "ws"), "CHILIAD_API_KEY": bootstrap}
    command = [sys.executable, "-m", "chiliad"]
    made = ["keys", "create", "clients", "--role", "member", "--json"]
    key = subprocess.run([*command, *made], check=True, env=environ, capture_output=True, text=True).stdout
    running = Live(f"http://127.0.0.1:{port}", json.loads(key)["secret"], folder / "server.log")
    with running.log.open("w") as log:
        server = subprocess.Popen([*command, "serve", "--port", str(port)], env=environ, stdout=log, stderr=log)
        try:
            await_ready(server, running)
            yield running
        finally:
            stop(server, running)


@pytest.mark.parametrize("client", CLIENTS)
def test_the_client_gets_what_it_expects(client: str, live: Live, tmp_path: Path) -> None:
    python = environment(client)
    environ = {
        **plain_environment(),
        "HOME": str(tmp_path),
        "OPENAI_BASE_URL": f"{live.url}/v1",
        "OPENAI_API_KEY": live.key,
        "HF_HUB_OFFLINE": "1",
    }
    script = HERE / f"check_{client.replace('-', '_')}.py"
    run([python, script], f"{client} failed", CLIENT_S, live.log, env=environ, cwd=tmp_path)


def environment(client: str) -> Path:
    """The Python of the client's own environment, made anew when its requirements have changed."""
    requirements, folder = REQUIREMENTS / f"{client}.txt", VENVS / client
    stamp, python = folder / "ready", folder / "bin" / "python"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != wanted:
        venv.create(folder, clear=True, with_pip=True)
        install = [
            python,
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "--no-compile",
            "-r",
            requirements,
        ]
        run(install, f"{client} could not be installed", INSTALL_S, env=plain_environment())
        stamp.write_text(wanted)
    return python


def run(
    command: list[Path | str],
    trouble: str,
    timeout_s: float,
    log: Path | None = None,
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
) -> None:
    """If it goes wrong the test fails with the end of what the command said, and of the server's log."""
    try:
        subprocess.run(
            command,
            env=env,
            cwd=cwd,
            timeout=timeout_s,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.SubprocessError as error:
        said = (error.output or b"").decode(errors="replace")[-SHOWN_CHARS:]
        served = "" if log is None else f"\n--- the server\n{log.read_text()[-SHOWN_CHARS:]}"
        pytest.fail(f"{trouble}: {error}\n{said}{served}", pytrace=False)


def await_ready(server: subprocess.Popen[bytes], running: Live) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{running.url}/ready").is_success:
                return
        time.sleep(0.2)
    pytest.fail(f"The server did not start:\n{running.log.read_text()[-SHOWN_CHARS:]}", pytrace=False)


def stop(server: subprocess.Popen[bytes], running: Live) -> None:
    server.terminate()
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
        pytest.fail(f"The server did not stop:\n{running.log.read_text()[-SHOWN_CHARS:]}", pytrace=False)


def plain_environment() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
