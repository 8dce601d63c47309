"""`chiliad worker`: does the jobs of a workspace."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Annotated

import typer

from chiliad.config import Settings

PARENT_EVERY_S = 1.0


def worker(
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")
    ] = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Stop when nothing is left to do.")] = False,
    parent: Annotated[int | None, typer.Option(hidden=True, help="Stop when this process is gone.")] = None,
) -> None:
    """Work on the jobs of a workspace, at low priority, until Ctrl-C. `chiliad serve` starts one by itself.

    A job in hand when it stops, or is killed, is continued by the next worker.
    """
    from chiliad.models.threads import available
    from chiliad.server.job_kinds import KINDS
    from chiliad.workspace import Workspace
    from chiliad.workspace.worker import Worker, step_back

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if parent is not None:
        Thread(target=_end_with, args=(parent,), daemon=True).start()
    step_back()
    settings = Settings.load(workspace=workspace)
    settings = replace(settings, threads=settings.worker.threads or max(1, (settings.threads or available()) // 2))
    with contextlib.suppress(KeyboardInterrupt), Workspace.open(settings) as ws:
        Worker(ws, ws.jobs, lease_s=settings.worker.lease_s, kinds=KINDS).run(until_idle=until_idle)


def _end_with(parent: int) -> None:
    """Interrupt this process, as Ctrl-C does, once `parent` is no longer its parent."""
    while os.getppid() == parent:
        time.sleep(PARENT_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)
