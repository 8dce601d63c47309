"""Every kind of job: the workspace's own, and those that ask the server's routes."""

from __future__ import annotations

from chiliad.server.batch_lines import BATCH
from chiliad.server.batch_run import do_batch
from chiliad.server.eval_rows import EVAL_RUN
from chiliad.server.eval_run import do_eval_run
from chiliad.workspace import job_kinds

KINDS: job_kinds.Kinds = {**job_kinds.KINDS, BATCH: do_batch, EVAL_RUN: do_eval_run}
