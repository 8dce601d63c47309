"""The process that `benchmarks/api.py` puts load on, and the questions that it asks."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from http_load import Reply

from chiliad.base import DEFAULT_BASE

CHAT = "/v1/chat/completions"


@dataclass(frozen=True)
class Meter:
    """Seconds of processor time so far, and MiB of memory now."""

    engine_s: float
    server_s: float
    rss_mib: float


class Served:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = int(self._line().rpartition(":")[2])

    def meter(self) -> Meter:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Meter(**json.loads(self._line()))

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextlib.contextmanager
def serving(**environ: str) -> Iterator[Served]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        variables = {**os.environ, "CHILIAD_WORKSPACE": f"{folder}/ws", "CHILIAD_SERVER__PORT": str(free_port())}
        command = [sys.executable, str(Path(__file__).with_name("api_server.py"))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, env=variables | environ, text=True, **pipes) as process:  # type: ignore[call-overload]
            try:
                yield Served(process)
            finally:
                process.terminate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def question(text: str, tokens: int, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Write a long story about {text}."}]
    return {"model": DEFAULT_BASE, "messages": messages, "max_tokens": tokens, "stream": True, **more}


def good(reply: Reply) -> Reply:
    assert reply.status == 200, (reply.status, reply.body[:500])
    return reply
