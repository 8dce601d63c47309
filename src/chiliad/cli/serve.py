"""`chiliad serve`: every expert of a workspace behind OpenAI's API."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from chiliad.config import Settings

KEY_VARIABLE = "CHILIAD_API_KEY"


def serve(
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")
    ] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on (default: 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The port to listen on (default: 8321).")] = None,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Let other machines in. Needs a key: see `chiliad keys`.")
    ] = False,
    base: Annotated[
        list[str] | None,
        typer.Option(
            help="A base to load at once; may be repeated. Experts of others load theirs when first asked. Default: the "
            "default base and those of all live experts."
        ),
    ] = None,
    worker: Annotated[bool, typer.Option(help="Also do the background jobs, in a process of their own.")] = True,
) -> None:
    """Serve every expert, and the base, at http://127.0.0.1:8321/v1 until Ctrl-C.

    Any OpenAI client works there; the `model` is an expert, an expert@version or a base. Once there are keys (`chiliad
    keys create`), clients have to send one. The environment variable CHILIAD_API_KEY holds one of an admin.
    """
    server = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = Settings.load(workspace=workspace, server=server)
    gc.disable()  # until all is loaded: nearly everything that a start makes stays
    try:
        _serve(settings, base, allow_network=allow_network, worker=worker)
    finally:
        gc.enable()


def _serve(settings: Settings, bases: Sequence[str] | None, *, allow_network: bool, worker: bool) -> None:
    from chiliad.workspace import Workspace
    from chiliad.workspace.sweeping import Sweeping
    from chiliad.workspace.worker_process import WorkerProcess

    api_key = os.environ.get(KEY_VARIABLE) or None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a supervisor's stop leaves the same way as Ctrl-C
    with Workspace.open(settings) as opened, contextlib.suppress(KeyboardInterrupt), ThreadPoolExecutor(1) as beside:
        loading = beside.submit(opened.service, bases)  # weights are read while this thread loads the server's code
        from chiliad.server.process import check_exposure, check_key, run

        check_exposure(settings.server.host, allow_network=allow_network)
        check_key(settings.server.host, opened.accounts, api_key=api_key)
        working = WorkerProcess(opened.jobs, settings) if worker else contextlib.nullcontext()
        with working, Sweeping(opened.feedback.answers):
            service = loading.result()
            run(
                service,
                settings.server,
                opened.accounts,
                api_key=api_key,
                on_listening=partial(_announce, service.loaded()),
                workspace=opened,
            )


def _announce(bases: Sequence[str], address: str, admin_link: str | None) -> None:
    gc.freeze()  # what is there now stays: no later collection has to look at it
    gc.enable()
    typer.echo(f"Chiliad answers at {address}  (OpenAI clients: {address}/v1). Ctrl-C stops it.")
    if admin_link:
        typer.echo(f"Nobody is its admin yet. This link makes your browser one; it works once: {admin_link}")
    for line in bases:
        typer.echo(line)
