"""What outlives a process: the database, and files that are either whole or absent."""

from chiliad.store.answers import AnswerToKeep, Decision, KeptAnswer, KeptAnswers, ReviewOrder
from chiliad.store.audit import AuditEntry, AuditLog
from chiliad.store.budgets import Budgets, Limit, Refusal, Reservation, Standing
from chiliad.store.corrections import Corrections, Gathered
from chiliad.store.database import Database
from chiliad.store.databases import DatabaseFile, Databases
from chiliad.store.evals import Eval, EvalItem, Evals, ItemStatus
from chiliad.store.feedback import Feedback, FeedbackLog, Said
from chiliad.store.jobs import Job, JobEvent, Jobs, JobState, LeaseLost, Wish
from chiliad.store.keys import DEFAULT_PROJECT, Key, Keys, Limits, NewKey, Role
from chiliad.store.ledger import Entry, GroupBy, Ledger, Period, Settled, Sum
from chiliad.store.outcomes import Outcome, Outcomes
from chiliad.store.read_only import Column, ReadOnlyFile, Result, Table
from chiliad.store.scope import EVERYTHING, Scope, scope_of
from chiliad.store.sessions import Session, Sessions
from chiliad.store.sqlite import sqlite_url
from chiliad.store.store import Document, PromotionRow, Store, VersionRow
from chiliad.store.uploads import Purpose, UploadedFile, Uploads
from chiliad.store.votes import Tally, Votes, Winner

__all__ = [
    "DEFAULT_PROJECT",
    "EVERYTHING",
    "AnswerToKeep",
    "AuditEntry",
    "AuditLog",
    "Budgets",
    "Column",
    "Corrections",
    "Database",
    "DatabaseFile",
    "Databases",
    "Decision",
    "Document",
    "Entry",
    "Eval",
    "EvalItem",
    "Evals",
    "Feedback",
    "FeedbackLog",
    "Gathered",
    "GroupBy",
    "ItemStatus",
    "Job",
    "JobEvent",
    "JobState",
    "Jobs",
    "KeptAnswer",
    "KeptAnswers",
    "Key",
    "Keys",
    "LeaseLost",
    "Ledger",
    "Limit",
    "Limits",
    "NewKey",
    "Outcome",
    "Outcomes",
    "Period",
    "PromotionRow",
    "Purpose",
    "ReadOnlyFile",
    "Refusal",
    "Reservation",
    "Result",
    "ReviewOrder",
    "Role",
    "Said",
    "Scope",
    "Session",
    "Sessions",
    "Settled",
    "Standing",
    "Store",
    "Sum",
    "Table",
    "Tally",
    "UploadedFile",
    "Uploads",
    "VersionRow",
    "Votes",
    "Winner",
    "Wish",
    "scope_of",
    "sqlite_url",
]
