"""A worker beside the server: a process that is there while there is work, and again if it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from threading import Event, Thread
from types import TracebackType
from typing import Self

from chiliad.config import Settings
from chiliad.errors import StoreError
from chiliad.store import Jobs

LOOK_EVERY_S = 2.0
STOP_S_MAX = 10.0


class WorkerProcess:
    """While entered, somebody works on the jobs of the workspace. A worker whose parent is gone ends by itself."""

    def __init__(self, jobs: Jobs, settings: Settings) -> None:
        self._jobs = jobs
        workspace, cache = str(settings.workspace.absolute()), str(settings.cache_dir.absolute())
        self._environment = {**os.environ, "CHILIAD_WORKSPACE": workspace, "CHILIAD_CACHE": cache}
        if settings.database_url is not None:
            self._environment["CHILIAD_DATABASE_URL"] = settings.database_url
        self._process: subprocess.Popen[bytes] | None = None
        self._done = Event()
        self._thread = Thread(target=self._watch, name="worker", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        if self._process is not None:
            self._stop(self._process)

    @property
    def pid(self) -> int | None:
        """Of the worker that works now."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def _watch(self) -> None:
        while not self._done.wait(LOOK_EVERY_S):
            try:
                if self.pid is None and self._jobs.has_work():
                    command = [sys.executable, "-m", "chiliad", "worker", "--until-idle", "--parent", str(os.getpid())]
                    self._process = subprocess.Popen(command, env=self._environment, stdin=subprocess.DEVNULL)
            except StoreError:  # the database is away; the next look may find it
                continue

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
