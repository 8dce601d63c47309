"""What outlives a process: the database, and files that are either whole or absent."""

from chiliad.store.database import Database
from chiliad.store.evals import Eval, EvalItem, Evals, ItemStatus
from chiliad.store.jobs import Job, JobEvent, Jobs, JobState, LeaseLost, Wish
from chiliad.store.sqlite import sqlite_url
from chiliad.store.store import Document, PromotionRow, Store, VersionRow
from chiliad.store.uploads import Purpose, UploadedFile, Uploads

__all__ = [
    "Database",
    "Document",
    "Eval",
    "EvalItem",
    "Evals",
    "ItemStatus",
    "Job",
    "JobEvent",
    "JobState",
    "Jobs",
    "LeaseLost",
    "PromotionRow",
    "Purpose",
    "Store",
    "UploadedFile",
    "Uploads",
    "VersionRow",
    "Wish",
    "sqlite_url",
]
