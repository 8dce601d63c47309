"""Other people's clients, unmodified, against a live server: `make clients`, or `python clients/run.py openai llm`.

Each has a script (check_NAME.py) and exactly pinned requirements (requirements/NAME.txt), and runs in a virtual
environment of its own, which holds nothing of Chiliad. The server is `chiliad serve` over an empty workspace and the
default base; the clients get its URL and a member's key. Nothing is fetched but their packages.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements"
VENVS = HERE.parent / ".venv-clients"
CLIENTS = tuple(sorted(path.stem for path in REQUIREMENTS.glob("*.txt")))
START_S = 300
STOP_S = 60
CLIENT_S = 1800
OURS = ("CHILIAD_", "OPENAI_", "PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT", "PYTHONPATH", "VIRTUAL_ENV")
"""beginnings of variables that say something about us, and that a client would not have"""


@dataclass(frozen=True)
class Live:
    """A server: `/v1` under its url, and a member's key."""

    url: str
    key: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"of {', '.join(CLIENTS)} (default: all)")
    chosen = parser.parse_args().clients or CLIENTS
    if unknown := set(chosen) - set(CLIENTS):
        parser.error(f"There is no client {', '.join(sorted(unknown))}.")
    pythons = {client: environment(client) for client in chosen}
    with tempfile.TemporaryDirectory(prefix="chiliad-clients-") as folder, serving(Path(folder)) as live:
        failed = [client for client in chosen if not passes(client, pythons[client], live, Path(folder))]
    sys.exit(f"Failed: {', '.join(failed)}." if failed else 0)


def environment(client: str) -> Path:
    """The Python of the client's own environment, made anew when its requirements have changed."""
    requirements, folder = REQUIREMENTS / f"{client}.txt", VENVS / client
    stamp, python = folder / "ready", folder / "bin" / "python"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"{client}: installing", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", requirements]
        subprocess.run(install, check=True, env=plain_environment())
        stamp.write_text(wanted)
    return python


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Live]:
    """`chiliad serve` with its worker, which has stopped when the block ends."""
    port, bootstrap = free_port(), secrets.token_hex()
    environ = {**os.environ, "CHILIAD_WORKSPACE": str(folder / "ws"), "CHILIAD_API_KEY": bootstrap}
    command = [sys.executable, "-m", "chiliad"]
    made = ["keys", "create", "clients", "--role", "member", "--json"]
    key = subprocess.run([*command, *made], check=True, env=environ, capture_output=True, text=True).stdout
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen([*command, "serve", "--port", str(port)], env=environ, stdout=log, stderr=log)
        try:
            await_ready(server, f"http://127.0.0.1:{port}/ready")
            yield Live(f"http://127.0.0.1:{port}", json.loads(key)["secret"])
        finally:
            server.terminate()
            try:
                server.wait(STOP_S)
            except subprocess.TimeoutExpired:
                server.kill()


def await_ready(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url):
            return
        time.sleep(0.2)
    sys.exit("The server did not start.")


def passes(client: str, python: Path, live: Live, folder: Path) -> bool:
    """Run a client's script; what it says is shown if it fails."""
    home = folder / client
    home.mkdir()
    environ = {
        **plain_environment(),
        "HOME": str(home),
        "OPENAI_BASE_URL": f"{live.url}/v1",
        "OPENAI_API_KEY": live.key,
        "HF_HUB_OFFLINE": "1",
    }
    started = time.monotonic()
    script = (HERE / f"check_{client.replace('-', '_')}.py").resolve()
    try:
        done = subprocess.run(
            [python, script], env=environ, cwd=home, timeout=CLIENT_S, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, ended = done.stdout, "passed" if done.returncode == 0 else "FAILED"
    except subprocess.TimeoutExpired as error:
        said, ended = error.stdout or b"", "FAILED (too slow)"
    print(f"{client}: {ended} in {time.monotonic() - started:.0f} s", flush=True)
    if ended != "passed":
        print(said.decode(errors="replace"), (folder / "server.log").read_text()[-4000:], sep="\n", flush=True)
    return ended == "passed"


def plain_environment() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    main()
