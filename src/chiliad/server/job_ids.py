"""A job's id as clients see it, which says what kind of job it is: `ftjob-...` for `job-...`."""

from __future__ import annotations

from chiliad.errors import JobNotFound
from chiliad.store import Job, Jobs

_OURS = "job-"


def id_on_wire(prefix: str, job: Job) -> str:
    return prefix + job.id.removeprefix(_OURS)


def job_id(prefix: str, text: str) -> str:
    """Our id for a client's; one that cannot be is the id of no job."""
    return _OURS + text.removeprefix(prefix) if text.startswith(prefix) else text


def find_job(jobs: Jobs, kind: str, prefix: str, text: str) -> Job:
    """Raises JobNotFound, also for a job of another kind."""
    try:
        job = jobs.get(job_id(prefix, text))
    except JobNotFound:
        job = None
    if job is None or job.kind != kind or not text.startswith(prefix):
        raise JobNotFound(f"There is no job {text[:100]!r}.", fix="List the jobs to see which there are.")
    return job
