"""Runs the server in this process until it is told to stop, and then lets what it has begun come to an end."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from chiliad.config import ServerSettings
from chiliad.errors import ConfigError
from chiliad.ledger import Accounts
from chiliad.server.admin_link import AdminLink
from chiliad.server.app import create_app
from chiliad.server.connection import Connection
from chiliad.server.middleware.origin import is_loopback
from chiliad.server.service import AnyService
from chiliad.server.state import state_of
from chiliad.workspace import Workspace

CONNECTIONS_MAX = 4096
BACKLOG_MAX = 2048
PORT_MAX = 65535
KEEP_ALIVE_S = 75
"""longer than the usual client keeps a connection in its pool, so that the client is the one to close it"""
CLOSE_S = 5
"""how long connections get to take their last bytes, after the answers under way have ended"""


def run(
    service: AnyService,
    settings: ServerSettings,
    accounts: Accounts,
    *,
    api_key: str | None,
    on_listening: Callable[[str, str | None], None],
    workspace: Workspace | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; with `workspace` also files, fine-tuning jobs, evals and batches, which are kept there.

    `on_listening` gets the address once requests are accepted, and on loopback, as long as there is no admin, a link to
    become one. Raises ConfigError when the address is taken or unusable.
    """
    needs_admin = is_loopback(settings.host) and api_key is None and not accounts.keys.have_admin()
    link = AdminLink() if needs_admin else None
    with listen(settings.host, settings.port) as listener:
        address = f"http://{_printable(settings.host)}:{listener.getsockname()[1]}"

        def announce() -> None:
            on_listening(address, link.at(address) if link else None)

        app = create_app(service, settings, accounts, api_key=api_key, admin_link=link, workspace=workspace)
        Server(app, settings, on_listening=announce).run(sockets=[listener])


class Server(uvicorn.Server):
    """uvicorn, which from its first signal on takes no new request and ends the running ones within `finish_seconds_max`."""

    def __init__(self, app: FastAPI, settings: ServerSettings, *, on_listening: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG_MAX,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=settings.finish_seconds_max + CLOSE_S,
        )
        super().__init__(config)
        self._state = state_of(app)
        self._finish_s = settings.finish_seconds_max
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._state.close(finish_s=self._finish_s)
        await super().shutdown(sockets)


def check_exposure(host: str, *, allow_network: bool) -> None:
    """Raises ConfigError if other machines could reach the server without that having been asked for."""
    if not allow_network and not is_loopback(host):
        cause = f"Listening on {host} opens the server to other machines."
        raise ConfigError(cause, fix="If that is meant, add --allow-network, and make keys with `chiliad keys create`.")


def check_key(host: str, accounts: Accounts, *, api_key: str | None) -> None:
    """Raises ConfigError if other machines could reach the server and nobody has a key: it would answer none of them."""
    if not is_loopback(host) and not api_key and not accounts.keys.exist():
        cause = "A server that other machines can reach needs a key."
        fix = "Make one with `chiliad keys create NAME --role admin`, or set CHILIAD_API_KEY to a long random text."
        raise ConfigError(cause, fix=fix)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Port 0 takes any free one. Raises ConfigError."""
    if port > PORT_MAX:  # the system would take another one, without a word
        raise ConfigError(f"There is no port {port}.", fix=f"Choose one up to {PORT_MAX} with --port.")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG_MAX)
    except OSError as error:
        cause = f"The server cannot listen on {host}, port {port}: {error.strerror}."
        raise ConfigError(cause, fix="Choose another one with --port or --host.") from error


def _printable(host: str) -> str:
    return f"[{host}]" if ":" in host else host
