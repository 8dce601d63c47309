"""Works on the jobs of a workspace, one at a time, and steps back for whoever serves on the same machine."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from queue import SimpleQueue
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

from chiliad.errors import BrokenArchive, ChiliadError, FileMissing, FileRefused, InUse, StoreError
from chiliad.store import Document, Job, Jobs, LeaseLost, Wish
from chiliad.store.jobs import ATTEMPTS_MAX, LEASE_S
from chiliad.workspace.job_kinds import KINDS, Kinds, carry_out

if TYPE_CHECKING:
    from chiliad.training import StepEvent
    from chiliad.workspace.workspace import Workspace

POLL_S = 1.0
TELL_EVERY_S = 2.0
"""between two events about progress"""

Progress: TypeAlias = dict[str, float | int | None]


class Worker:
    """lease_s: a job whose worker says nothing for so long is given to another one, and one that was put off is tried again;
    kinds: what it knows how to do; front: what is said about a job in hand is written there;
    for a worker that steps back, a thread that does not
    """

    def __init__(
        self,
        workspace: Workspace,
        jobs: Jobs,
        *,
        lease_s: float = LEASE_S,
        kinds: Kinds = KINDS,
        front: Executor | None = None,
    ) -> None:
        self._workspace, self._jobs, self._lease_s, self._kinds = workspace, jobs, lease_s, kinds
        self._front = front or ThreadPoolExecutor(1, "front")
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    def run(self, *, until_idle: bool) -> None:
        """Work until nothing is left to do, or for ever. Ctrl-C lays the job in hand down for another worker.

        Raises StoreError if nobody can say whether something is left to do; for ever, it looks again.
        """
        while True:
            try:
                job = self._jobs.lease(self.name, self._lease_s) if self._jobs.has_work() else None
            except StoreError:
                if until_idle:
                    raise
                job = None
            if job is not None:
                self._work(job)
            elif until_idle:
                return
            else:
                time.sleep(POLL_S)

    def _work(self, job: Job) -> None:
        """What cannot be recorded is as if the worker had died: the lease runs out, and the job is done again."""
        with suppress(LeaseLost, StoreError):
            try:
                self._carry_out(job)
            except LeaseLost:
                raise
            except Stopped as stopped:
                self._jobs.stop(job.id, self.name, stopped.wish)
            except StoreError as error:
                self._put_off(job, error)
            except ChiliadError as error:
                self._jobs.fail(job.id, self.name, _told(error))
            except Exception as error:  # noqa: BLE001 - a job that fails must not take the worker with it
                told = {"cause": f"{type(error).__name__}: {error}", "fix": "Please report it.", "code": "mistake"}
                self._jobs.fail(job.id, self.name, told)
            except BaseException:
                with suppress(LeaseLost, StoreError):
                    self._jobs.stop(job.id, self.name, None)
                raise

    def _put_off(self, job: Job, error: StoreError) -> None:
        """A database that is away or a full disk may be better later, but not for ever; what another process holds is waited
        for, and a file that is gone does not come back.
        """
        lasts, held = isinstance(error, FileMissing | FileRefused | BrokenArchive), isinstance(error, InUse)
        if lasts or (job.attempts == ATTEMPTS_MAX and not held):
            self._jobs.fail(job.id, self.name, _told(error))
        else:
            self._jobs.put_off(job.id, self.name, error.cause, delay_s=self._lease_s, counts=not held)

    def _carry_out(self, job: Job) -> None:
        with ExitStack() as done:
            with Hold(self._jobs, job, self.name, self._lease_s, self._front) as hold:
                self._workspace.report_to(JobReporter(hold))
                result = done.enter_context(carry_out(self._workspace, job, self._kinds))
            self._jobs.succeed(job.id, self.name, result)


def _told(error: ChiliadError) -> Document:
    return {"cause": error.cause, "fix": error.fix, "code": error.code}


class Hold:
    """Keeps the lease of a job with a heartbeat from `front`, which hears what is wished for, and writes how it goes."""

    def __init__(self, jobs: Jobs, job: Job, worker: str, lease_s: float, front: Executor) -> None:
        self._jobs, self._job, self._worker, self._lease_s = jobs, job, worker, lease_s
        self._front = front
        self._told: SimpleQueue[tuple[str, Progress]] = SimpleQueue()
        self._done = Event()
        self._wish: Wish | None = None
        self._lost = False

    def __enter__(self) -> Self:
        self._beating = self._front.submit(self._beat)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._beating.result()

    def check(self) -> None:
        """Raises Stopped if the job is to be laid down, LeaseLost if it is somebody else's by now."""
        if self._lost:
            raise LeaseLost(self._job.id)
        if self._wish is not None:
            raise Stopped(self._wish)

    def tell(self, doing: str, progress: Progress) -> None:
        """Have it written with the next heartbeat, or the end."""
        self._told.put((doing, progress))

    def _beat(self) -> None:
        pause_s = min(self._lease_s / 4, 1.0)
        ended = False
        while not (ended or self._lost):
            ended = self._done.wait(pause_s)
            try:
                self._wish = self._jobs.keep(self._job.id, self._worker, self._lease_s)
                while not self._told.empty():
                    self._jobs.tell(self._job.id, *self._told.get())
            except LeaseLost:
                self._lost = True
            except StoreError:  # the database is away; the lease lasts for a while
                continue


class Stopped(Exception):
    """Somebody wishes that the job is paused or cancelled."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        self.wish = wish


class JobReporter:
    """Progress goes into the job's events, now and then; each report is also where a job can be stopped."""

    def __init__(self, hold: Hold, clock: Callable[[], float] = time.monotonic) -> None:
        self._hold, self._clock = hold, clock
        self._told_at = float("-inf")
        self._doing = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def step(self, event: StepEvent) -> None:
        data = {"epoch": event.epoch + 1, "epochs": event.epochs, "step": event.step, "steps": event.steps}
        figures = {"loss": event.loss if event.loss == event.loss else None, "seconds_left": round(event.seconds_left)}
        if event.dev is not None:
            figures |= {"dev_loss": event.dev.loss, "dev_exact": event.dev.exact}
        self._tell("training", {**data, **figures}, always=event.dev is not None)

    def stage(self, doing: str, done: int, total: int) -> None:
        self._tell(doing, {"done": done, "total": total}, always=doing != self._doing)

    def _tell(self, doing: str, data: Progress, *, always: bool) -> None:
        self._hold.check()
        if always or self._clock() - self._told_at >= TELL_EVERY_S:
            self._doing, self._told_at = doing, self._clock()
            self._hold.tell(doing, data)
