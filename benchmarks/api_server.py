"""The server that `benchmarks/api.py` measures: what `chiliad serve` runs, and a meter that is read over stdin and stdout.

Its processor time is divided by threads. The engine's are its own and those that compute for it; all others are the
server's, and so is what it does on the engine's thread, where it takes each event.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from chiliad.config import Settings
from chiliad.engine import Event, OnEvent
from chiliad.server.process import run
from chiliad.server.service import AnyService
from chiliad.workspace import Workspace
from chiliad.workspace.worker_process import WorkerProcess

ENGINE = "chiliad-engine"


class Metered:
    """A service that passes everything on, and times what the server does with the events of its answers."""

    def __init__(self, service: AnyService) -> None:
        self._service = service
        self.events_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def start(self, model: Any, prompt: tuple[int, ...], sampling: Any, on_event: OnEvent, **options: Any) -> Any:
        def timed(event: Event) -> None:
            began = time.thread_time()
            on_event(event)
            self.events_s += time.thread_time() - began

        return self._service.start(model, prompt, sampling, timed, **options)


def main() -> None:
    settings = Settings.load()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Workspace.open(settings) as workspace, contextlib.suppress(KeyboardInterrupt):
        service = Metered(workspace.service())
        threading.Thread(target=_tell, args=(service,), name="meter", daemon=True).start()
        with WorkerProcess(workspace.jobs, settings):
            run(
                service,
                settings.server,
                workspace.accounts,
                api_key=None,
                on_listening=lambda address, _: _say(address),
                workspace=workspace,
            )


def _tell(service: Metered) -> None:
    """One line out for every line in; the server ends with whoever asks."""
    for _ in sys.stdin:
        engine_s = _engine_s() - service.events_s
        _say(json.dumps({"engine_s": engine_s, "server_s": time.process_time() - engine_s, "rss_mib": _rss_mib()}))
    os.kill(os.getpid(), signal.SIGTERM)


def _engine_s() -> float:
    """Processor time of the engine's thread and of the threads that are not Python's."""
    others = {thread.native_id for thread in threading.enumerate() if thread.name != ENGINE}
    tasks = (task for task in Path("/proc/self/task").iterdir() if int(task.name) not in others)
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
