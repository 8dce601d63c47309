"""One connection of a client, which has bounded time and room to say what it asks for."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 << 10
"""of a request's first line and headers, beside what one read of the socket brings"""
HEAD_SECONDS_MAX = 15.0
"""to the end of the headers, from their first byte; for the first request from when the connection is made"""
READ_SECONDS_MAX = 60.0
"""that a client may leave what it is sent unread, once the socket holds no more of it"""


class Connection(HttpToolsProtocol):
    """uvicorn's own, but whoever sends no whole head in time, or too long a one, is hung up on.

    Else clients that say nothing could hold every connection that there may be, and one whose headers never end all
    memory. So is whoever reads nothing of a long answer any more. Bodies have bounds of their own (`middleware/body.py`).
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_bytes = 0
        self._head_due: asyncio.TimerHandle | None = None
        self._read_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_due is None:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        awaited = self._head_due
        super().data_received(data)
        if awaited is not None and awaited is self._head_due:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.transport.close()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._read_due = self.loop.call_later(READ_SECONDS_MAX, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_waiting_for_reader()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_due = self.loop.call_later(HEAD_SECONDS_MAX, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _stop_waiting_for_reader(self) -> None:
        if self._read_due is not None:
            self._read_due.cancel()
            self._read_due = None
