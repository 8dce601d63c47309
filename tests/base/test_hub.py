"""Pulling by a Hugging Face id, from a server on this machine that speaks the part of the hub's API that is needed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chiliad.base import BaseStore

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PULL = """
import sys
from pathlib import Path
from chiliad.base import BaseStore
from chiliad.errors import ChiliadError
try:
    print(BaseStore(Path(sys.argv[1])).pull(sys.argv[2]).note)
except ChiliadError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


class Hub(BaseHTTPRequestHandler):
    """One public model, `someone/Tiny`, whose files are those of the class attribute `folder`."""

    folder: Path

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in ("/api/models/someone/Tiny", "/api/models/someone/Tiny/revision/main"):
            self._json({"id": "someone/Tiny", "sha": COMMIT, "siblings": []})
        elif path == f"/api/models/someone/Tiny/tree/{COMMIT}":
            self._json([self._entry(file) for file in sorted(self.folder.iterdir())])
        elif path.startswith(f"/someone/Tiny/resolve/{COMMIT}/"):
            self._send((self.folder / path.rpartition("/")[2]).read_bytes(), "application/octet-stream")
        else:
            self._send(b"{}", "application/json", status=404, error="RepoNotFound")

    def _entry(self, file: Path) -> dict[str, object]:
        oid = hashlib.sha1(file.read_bytes()).hexdigest()
        return {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": oid}

    def _json(self, content: object) -> None:
        self._send(json.dumps(content).encode(), "application/json")

    def _send(self, content: bytes, kind: str, *, status: int = 200, error: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        if error is not None:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint(folder: Path) -> Iterator[str]:
    handler = type("HubOfThisTest", (Hub,), {"folder": folder})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def pull(tmp_path: Path, source: str, endpoint: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the hub's client reads its settings when it is imported."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", PULL, str(tmp_path / "cache"), source]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_hub_id_is_downloaded_and_converted(tmp_path: Path, folder: Path, endpoint: str) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"never asked for")
    done = pull(tmp_path, "someone/Tiny", endpoint)
    assert done.stdout == f"revision {COMMIT}\n", done.stderr
    store = BaseStore(tmp_path / "cache")
    base = store.get("tiny", verify=True)
    assert base.source == "hf:someone/Tiny"
    assert base.fingerprint == store.pull(str(folder), name="local").fingerprint
    assert not list((tmp_path / "hf").rglob("pytorch_model.bin"))


def test_an_id_that_the_hub_does_not_know_is_not_found(tmp_path: Path, endpoint: str) -> None:
    done = pull(tmp_path, "someone/Nothing", endpoint)
    assert done.returncode == 1
    assert "BaseNotFound: There is no public model someone/Nothing" in done.stderr


def test_without_a_network_the_error_names_another_way(tmp_path: Path) -> None:
    done = pull(tmp_path, "someone/Tiny", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "StoreError: someone/Tiny could not be downloaded" in done.stderr
    assert "local folder or GGUF file" in done.stderr
    assert BaseStore(tmp_path / "cache").ids() == ()
