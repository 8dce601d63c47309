"""Durable jobs: rows that outlive whoever works on them.

queued ──lease──> running ──finish──> succeeded | failed | cancelled
  ^  └──pause──> paused <──pause──┘
  └────resume──────┘          a running job whose lease has run out is leased again: its worker died, or put it off

A running job is asked to pause or stop (`wish`); its worker reads that with its next heartbeat. Every move is one
transaction, and one at a time.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, or_, select, update

from chiliad.errors import JobConflict, JobNotFound
from chiliad.store.backend import Writers
from chiliad.store.database import Database
from chiliad.store.paging import PAGE_MAX, page
from chiliad.store.scope import Scoped
from chiliad.store.tables import job_events, jobs

LEASE_S = 30.0
"""how long a job stays with a worker that says nothing"""
ATTEMPTS_MAX = 5
"""workers that may die of one job"""


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN = (JobState.QUEUED, JobState.RUNNING, JobState.PAUSED)


class Wish(StrEnum):
    PAUSE = "pause"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Job:
    """created_s, started_s, finished_s: seconds since 1970; error: cause, fix and code"""

    id: str
    project: str
    kind: str
    state: JobState
    document: Mapping[str, Any]
    key: str | None
    created_s: float
    started_s: float | None
    finished_s: float | None
    attempts: int
    wish: Wish | None
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None


@dataclass(frozen=True)
class JobEvent:
    """The n-th thing that happened to a job: a message for people, or progress with its figures in `data`."""

    number: int
    at_s: float
    kind: str
    text: str
    data: Mapping[str, Any] | None


class LeaseLost(Exception):
    """The job is no longer this worker's: it was silent for too long, and another one has it."""


class Jobs(Scoped):
    """Safe to share between threads and processes. `clock` gives seconds since 1970."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def submit(
        self, kind: str, document: Mapping[str, Any], *, key: str | None = None, job_id: str | None = None
    ) -> Job:
        """Queue a job. The same `key` again gives the job that it named before, whatever became of it.

        `job_id` is one of `new_job_id`, for a document that names its own job. Raises JobConflict if the key's job was
        another thing to do.
        """
        with self._database.write(Writers.JOBS) as connection:
            row = connection.execute(select(jobs).where(jobs.c.key == key)).one_or_none() if key else None
            if row is None:
                return self._queued(connection, kind, document, key, job_id or new_job_id())
        if (row.kind, row.document) != (kind, dict(document)):
            raise key_conflict(_job(row))
        return _job(row)

    def submit_with(self, connection: Connection, kind: str, document: Mapping[str, Any]) -> Job:
        """Queue a job in a transaction that is under way: it is there once that has ended well."""
        return self._queued(connection, kind, document, None, new_job_id())

    def get(self, job_id: str) -> Job:
        """Raises JobNotFound."""
        with self._database.read() as connection:
            return self._find(connection, job_id)

    def by_key(self, key: str) -> Job | None:
        """The job that was submitted with `key`."""
        with self._database.read() as connection:
            row = connection.execute(select(jobs).where(jobs.c.key == key)).one_or_none()
        return _job(row) if row else None

    def page(
        self,
        *,
        after: str | None = None,
        limit: int = PAGE_MAX,
        newest_first: bool = True,
        kind: str | None = None,
        state: JobState | None = None,
        holding: Mapping[tuple[str, ...], str | None] | None = None,
    ) -> list[Job]:
        """Jobs in the order in which they were queued, those beyond `after`. Raises JobNotFound for an unknown `after`.

        Only those of one `kind`, in one `state`, and those whose documents have the texts of `holding` at its paths;
        None stands for no text there.
        """
        query = select(jobs).where(self._scope.covers(jobs))
        if kind is not None:
            query = query.where(jobs.c.kind == kind)
        if state is not None:
            query = query.where(jobs.c.state == state)
        for path, text in (holding or {}).items():
            query = query.where(jobs.c.document[path].as_string() == text)
        with self._database.read() as connection:
            last = None if after is None else self._row(connection, after)
            query = page(query, jobs, after=last, limit=limit, newest_first=newest_first)
            return [_job(row) for row in connection.execute(query)]

    def still_open(self) -> list[Job]:
        """Every job that has not ended."""
        with self._database.read() as connection:
            return [_job(row) for row in connection.execute(select(jobs).where(jobs.c.state.in_(OPEN)))]

    def events(self, job_id: str, *, after: int = 0, limit: int = PAGE_MAX) -> list[JobEvent]:
        """What happened after event number `after`, oldest first. Raises JobNotFound."""
        query = select(job_events).where(job_events.c.job_id == job_id, job_events.c.number > after)
        with self._database.read() as connection:
            self._find(connection, job_id)
            rows = connection.execute(query.order_by(job_events.c.number).limit(limit))
            return [JobEvent(row.number, row.at_s, row.kind, row.text, row.data) for row in rows]

    def latest_events(self, job_id: str, *, before: int | None = None, limit: int = PAGE_MAX) -> list[JobEvent]:
        """What happened before event number `before`, newest first. Raises JobNotFound."""
        query = select(job_events).where(job_events.c.job_id == job_id)
        if before is not None:
            query = query.where(job_events.c.number < before)
        with self._database.read() as connection:
            self._find(connection, job_id)
            rows = connection.execute(query.order_by(job_events.c.number.desc()).limit(limit))
            return [JobEvent(row.number, row.at_s, row.kind, row.text, row.data) for row in rows]

    def cancel(self, job_id: str) -> Job:
        """End a job for good. A running one ends with its worker's next look. Raises JobNotFound, JobConflict."""
        return self._ask(job_id, Wish.CANCEL, JobState.CANCELLED, waiting=(JobState.QUEUED, JobState.PAUSED))

    def pause(self, job_id: str) -> Job:
        """Keep a job from being worked on; what it has reached is kept. Raises JobNotFound, JobConflict."""
        return self._ask(job_id, Wish.PAUSE, JobState.PAUSED, waiting=(JobState.QUEUED,))

    def resume(self, job_id: str) -> Job:
        """Queue a paused job again. Raises JobNotFound, JobConflict."""
        with self._database.write(Writers.JOBS) as connection:
            job = self._find(connection, job_id)
            if job.state is JobState.RUNNING and job.wish is Wish.PAUSE:
                _set(connection, job_id, wish=None)
            elif job.state is JobState.PAUSED:
                _set(connection, job_id, state=JobState.QUEUED)
            else:
                raise _wrong_state(job, "resumed")
            self._tell(connection, job_id, "message", "Resumed.")
            return self._find(connection, job_id)

    def delete(self, job_id: str) -> None:
        """Forget a job that has ended. Raises JobNotFound, JobConflict."""
        with self._database.write(Writers.JOBS) as connection:
            job = self._find(connection, job_id)
            if job.state in OPEN:
                raise _wrong_state(job, "deleted")
            connection.execute(job_events.delete().where(job_events.c.job_id == job_id))
            connection.execute(jobs.delete().where(jobs.c.id == job_id))

    def has_work(self) -> bool:
        """Whether `lease` would find something to do."""
        with self._database.read() as connection:
            return connection.execute(_free(self._clock())).first() is not None

    def lease(self, worker: str, lease_s: float = LEASE_S) -> Job | None:
        """The next job to work on, which is `worker`'s for so long; None if nothing waits."""
        with self._database.write(Writers.JOBS) as connection:
            while row := connection.execute(_free(self._clock())).first():
                if not self._buried(connection, _job(row)):
                    return self._taken(connection, row, worker, lease_s)
        return None

    def keep(self, job_id: str, worker: str, lease_s: float = LEASE_S) -> Wish | None:
        """A heartbeat: keep the lease, and learn what is wished for. Raises LeaseLost."""
        with self._database.write(Writers.JOBS) as connection:
            _set_held(connection, job_id, worker, lease_until_s=self._clock() + lease_s)
            return self._find(connection, job_id).wish

    def tell(self, job_id: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        """Record progress (with `data`) or a message."""
        with self._database.write(Writers.JOBS) as connection:
            self._tell(connection, job_id, "message" if data is None else "progress", text, data)

    def succeed(self, job_id: str, worker: str, result: Mapping[str, Any]) -> None:
        """Raises LeaseLost."""
        self._end(job_id, worker, JobState.SUCCEEDED, "Done.", result=dict(result), wish=None)

    def fail(self, job_id: str, worker: str, error: Mapping[str, Any]) -> None:
        """Raises LeaseLost."""
        self._end(job_id, worker, JobState.FAILED, f"Failed: {error['cause']}", error=dict(error), wish=None)

    def stop(self, job_id: str, worker: str, wish: Wish | None) -> None:
        """Lay a job down half done: as it was wished, or without a wish for another worker. Raises LeaseLost."""
        state, text = _STOPPED[wish]
        self._end(job_id, worker, state, text, wish=None)

    def put_off(self, job_id: str, worker: str, cause: str, *, delay_s: float = LEASE_S, counts: bool = True) -> None:
        """Leave a job to any worker, after so long. `counts`: as one of its ATTEMPTS_MAX. Raises LeaseLost."""
        attempts = jobs.c.attempts - (0 if counts else 1)
        with self._database.write(Writers.JOBS) as connection:
            values = {"worker": None, "lease_until_s": self._clock() + delay_s, "attempts": attempts}
            _set_held(connection, job_id, worker, **values)
            self._tell(connection, job_id, "message", f"Put off: {cause}")

    def _queued(
        self, connection: Connection, kind: str, document: Mapping[str, Any], key: str | None, job_id: str
    ) -> Job:
        values = {"id": job_id, "project": self._scope.project, "kind": kind, "document": dict(document), "key": key}
        connection.execute(jobs.insert().values(**values, created_s=self._clock(), state=JobState.QUEUED, attempts=0))
        self._tell(connection, job_id, "message", "Queued.")
        return self._find(connection, job_id)

    def _ask(self, job_id: str, wish: Wish, state: JobState, *, waiting: tuple[JobState, ...]) -> Job:
        with self._database.write(Writers.JOBS) as connection:
            job = self._find(connection, job_id)
            if job.state in waiting:
                finished = self._clock() if state not in OPEN else None
                _set(connection, job_id, state=state, finished_s=finished)
                self._tell(connection, job_id, "message", _STOPPED[wish][1])
            elif job.state is JobState.RUNNING and job.wish is not Wish.CANCEL:
                _set(connection, job_id, wish=wish)
                self._tell(connection, job_id, "message", f"Asked to {wish}.")
            elif job.state is not state and job.wish is not wish:
                raise _wrong_state(job, f"{wish}d" if wish is Wish.PAUSE else "cancelled")
            return self._find(connection, job_id)

    def _buried(self, connection: Connection, job: Job) -> bool:
        """End a job whose worker died after it was asked to stop, or whose workers keep dying."""
        if job.state is JobState.QUEUED:
            return False
        if job.wish is not None:
            state, text = _STOPPED[job.wish]
            finished = None if state in OPEN else self._clock()
            _set(connection, job.id, state=state, wish=None, worker=None, finished_s=finished)
        elif job.attempts >= ATTEMPTS_MAX:
            text = f"{ATTEMPTS_MAX} workers died of it."
            error = {"cause": text, "fix": "See the machine's memory and its log, then submit it again.", "code": "job"}
            _set(connection, job.id, state=JobState.FAILED, error=error, worker=None, finished_s=self._clock())
        else:
            return False
        self._tell(connection, job.id, "message", text)
        return True

    def _taken(self, connection: Connection, row: Row[Any], worker: str, lease_s: float) -> Job:
        now, job = self._clock(), _job(row)
        again, died = job.state is JobState.RUNNING, row.worker is not None
        _set(
            connection, job.id, state=JobState.RUNNING, worker=worker, lease_until_s=now + lease_s,
            attempts=job.attempts + 1 if again else 1, started_s=job.started_s or now,
        )  # fmt: skip
        continued = "Its worker died; another one continues." if died else "Tried again."
        self._tell(connection, job.id, "message", continued if again else "Started.")
        return self._find(connection, job.id)

    def _end(self, job_id: str, worker: str, state: JobState, text: str, **values: Any) -> None:
        finished = None if state in OPEN else self._clock()
        with self._database.write(Writers.JOBS) as connection:
            _set_held(connection, job_id, worker, state=state, worker=None, finished_s=finished, **values)
            self._tell(connection, job_id, "message", text)

    def _tell(
        self, connection: Connection, job_id: str, kind: str, text: str, data: Mapping[str, Any] | None = None
    ) -> None:
        last = select(job_events.c.number).where(job_events.c.job_id == job_id).order_by(job_events.c.number.desc())
        number = (connection.scalar(last.limit(1)) or 0) + 1
        row = {"job_id": job_id, "number": number, "at_s": self._clock(), "kind": kind, "text": text}
        connection.execute(job_events.insert().values(**row, data=dict(data) if data is not None else None))

    def _find(self, connection: Connection, job_id: str) -> Job:
        return _job(self._row(connection, job_id))

    def _row(self, connection: Connection, job_id: str) -> Row[Any]:
        query = select(jobs).where(jobs.c.id == job_id, self._scope.covers(jobs))
        row = connection.execute(query).one_or_none()
        if row is None:
            raise JobNotFound(f"There is no job {job_id!r}.", fix="`chiliad jobs list` shows the jobs that there are.")
        return row


def new_job_id() -> str:
    return f"job-{secrets.token_hex(8)}"


def key_conflict(job: Job) -> JobConflict:
    return JobConflict(f"The key {job.key!r} names another job, {job.id}.", fix="Give every job a key of its own.")


_STOPPED: Mapping[Wish | None, tuple[JobState, str]] = {
    Wish.PAUSE: (JobState.PAUSED, "Paused."),
    Wish.CANCEL: (JobState.CANCELLED, "Cancelled."),
    None: (JobState.QUEUED, "Laid down by its worker, and queued again."),
}


def _free(now_s: float) -> Select[Any]:
    """The oldest job that nobody works on and somebody should."""
    abandoned = and_(jobs.c.state == JobState.RUNNING, jobs.c.lease_until_s < now_s)
    query = select(jobs).where(or_(jobs.c.state == JobState.QUEUED, abandoned))
    return query.order_by(jobs.c.created_s, jobs.c.id).limit(1)


def _set(connection: Connection, job_id: str, **values: Any) -> None:
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))


def _set_held(connection: Connection, job_id: str, holder: str, **values: Any) -> None:
    held = and_(jobs.c.id == job_id, jobs.c.worker == holder, jobs.c.state == JobState.RUNNING)
    if connection.execute(update(jobs).where(held).values(**values)).rowcount == 0:
        raise LeaseLost(job_id)


def _wrong_state(job: Job, done: str) -> JobConflict:
    return JobConflict(
        f"{job.id} is {job.state}: it cannot be {done}.", fix=f"See `chiliad jobs show {job.id}`; submit a new job."
    )


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        project=row.project,
        kind=row.kind,
        state=JobState(row.state),
        document=row.document,
        key=row.key,
        created_s=row.created_s,
        started_s=row.started_s,
        finished_s=row.finished_s,
        attempts=row.attempts,
        wish=Wish(row.wish) if row.wish else None,
        result=row.result,
        error=row.error,
    )
