"""`chiliad worker`: does the jobs of a workspace."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Annotated

import typer

from chiliad.config import Settings

PARENT_EVERY_S = 1.0
NICE = 19
"""the lowest priority, for systems without a class for what is done when idle"""


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
    front = step_back()  # before PyTorch is loaded, which takes some seconds
    from chiliad.models.threads import available
    from chiliad.server.job_kinds import KINDS
    from chiliad.workspace import Workspace
    from chiliad.workspace.worker import Worker

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if parent is not None:
        Thread(target=_end_with, args=(parent,), daemon=True).start()
    settings = Settings.load(workspace=workspace)
    settings = replace(settings, threads=settings.worker.threads or max(1, (settings.threads or available()) // 2))
    with contextlib.suppress(KeyboardInterrupt), Workspace.open(settings) as ws:
        Worker(ws, ws.jobs, lease_s=settings.worker.lease_s, kinds=KINDS, front=front).run(until_idle=until_idle)


def step_back() -> Executor:
    """Leave this thread, and those that it starts, what nobody else wants of the processors.

    In Linux's idle class a thread makes way as soon as another is ready. With a low priority alone it would finish its
    slice first, while the server's threads wait for the one of theirs that has no core, at every layer of the model.
    Returned is a thread that stays in front: what is written locks the database, and a server may wait for it.
    """
    front = ThreadPoolExecutor(1, "front")
    front.submit(bool).result()  # it begins now, not as the child of a thread that has stepped back
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(NICE)
    return front


def _end_with(parent: int) -> None:
    """Interrupt this process, as Ctrl-C does, once `parent` is no longer its parent."""
    while os.getppid() == parent:
        time.sleep(PARENT_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)
