"""A client that costs little, for putting load on a server: HTTP/1.1 over asyncio's streams, with kept connections."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
KEEP_S = 60.0
"""a server may close a connection that nothing came on for longer"""


@dataclass(frozen=True)
class Reply:
    """seconds: from the first byte of the request to the last one of the answer"""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> Iterator[Any]:
        """What a stream said, without its `[DONE]`."""
        for line in self.body.split(b"\n"):
            if line.startswith(b"data: {"):
                yield json.loads(line[len(b"data: ") :])


class Client:
    """Any number of requests at a time to one server on this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[float, Streams]] = []

    async def post(self, path: str, body: Any) -> Reply:
        return await self._ask("POST", path, json.dumps(body).encode())

    async def get(self, path: str) -> Reply:
        return await self._ask("GET", path, b"")

    async def events(self, path: str, body: Any) -> AsyncIterator[float]:
        """When each event of a stream came, on `time.perf_counter`."""
        async with self._connection() as (reader, writer):
            writer.write(_request("POST", path, json.dumps(body).encode()))
            status, _ = await _head(reader)
            assert status == 200, status
            while size := int(await reader.readline(), 16):
                came, content = time.perf_counter(), await reader.readexactly(size + 2)
                for _ in range(content.count(b"data: {")):
                    yield came
            await reader.readline()

    async def leave(self, path: str, body: Any) -> None:
        """Ask, read the first bytes of the answer, and hang up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(_request("POST", path, json.dumps(body).encode()))
        await reader.read(100)
        writer.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[1][1].close()

    async def _ask(self, method: str, path: str, content: bytes) -> Reply:
        async with self._connection() as (reader, writer):
            started = time.perf_counter()
            writer.write(_request(method, path, content))
            status, headers = await _head(reader)
            body = await _body(reader, headers)
            return Reply(status, headers, body, time.perf_counter() - started)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Streams]:
        streams = self._kept() or await asyncio.open_connection("127.0.0.1", self._port)
        try:
            yield streams
        except BaseException:
            streams[1].close()
            raise
        self._idle.append((time.monotonic(), streams))

    def _kept(self) -> Streams | None:
        """The connection that was used last. If that was too long ago, so it was for the others."""
        if self._idle and time.monotonic() - self._idle[-1][0] > KEEP_S:
            self.close()
        return self._idle.pop()[1] if self._idle else None


async def at_once(clients: int, work: Callable[[int], Awaitable[None]], times: int) -> None:
    """Have `clients` do `work(0)` to `work(times - 1)` between them, each as soon as it is free."""
    numbers = iter(range(times))

    async def one() -> None:
        for number in numbers:
            await work(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one())


def _request(method: str, path: str, content: bytes) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
    pairs = (line.split(": ", 1) for line in lines if line)
    return int(first.split()[1]), {name.lower(): value for name, value in pairs}


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    pieces = []
    while size := int(await reader.readline(), 16):
        pieces.append((await reader.readexactly(size + 2))[:-2])
    await reader.readline()
    return b"".join(pieces)
