"""Runs the server in this process until it is told to stop, and then lets what it has begun come to an end."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from chiliad.config import ServerSettings
from chiliad.errors import ConfigError
from chiliad.server.app import create_app
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
    *,
    api_key: str | None,
    allow_network: bool,
    on_listening: Callable[[str], None],
    workspace: Workspace | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. `on_listening` gets the address once requests are accepted.

    With `workspace` it also takes files, fine-tuning jobs, evals and batches, which are kept there.

    Raises ConfigError when the address is taken, unusable, or open to others without a key.
    """
    check_exposure(settings.host, allow_network=allow_network, api_key=api_key)
    with listen(settings.host, settings.port) as listener:
        address = f"http://{_printable(settings.host)}:{listener.getsockname()[1]}"
        server = Server(
            service, settings, api_key=api_key, on_listening=lambda: on_listening(address), workspace=workspace
        )
        server.run(sockets=[listener])


class Server(uvicorn.Server):
    """uvicorn, which from its first signal on takes no new request and ends the running ones within `finish_seconds_max`."""

    def __init__(
        self,
        service: AnyService,
        settings: ServerSettings,
        *,
        api_key: str | None,
        on_listening: Callable[[], None],
        workspace: Workspace | None = None,
    ) -> None:
        app = create_app(service, settings, api_key=api_key, workspace=workspace)
        config = uvicorn.Config(
            app,
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


def check_exposure(host: str, *, allow_network: bool, api_key: str | None) -> None:
    """Raises ConfigError if other machines could reach the server without that having been asked for, or without a key."""
    if is_loopback(host):
        return
    if not allow_network:
        cause = f"Listening on {host} opens the server to other machines."
        raise ConfigError(cause, fix="If that is meant, add --allow-network and set CHILIAD_API_KEY.")
    if not api_key:
        cause = "A server that other machines can reach needs a key."
        raise ConfigError(cause, fix="Set the environment variable CHILIAD_API_KEY to a long random text.")


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
