"""The tables as they are today; `migrations/versions` holds the numbered steps that lead here.

Experts, versions, aliases and datasets are an index over plain files and can be rebuilt from them. Jobs, evals, what is
known of uploaded files, keys, the ledger, the audit log, kept answers with what people said about them, votes, and
comparisons that no promotion used yet, live here alone.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Double, Integer, MetaData, String, Table

SCHEMA = 7
"""the number of the newest step; an older program refuses a database with a higher one"""

metadata = MetaData()

schema = Table("schema_version", metadata, Column("number", Integer, nullable=False))

experts = Table(
    "experts",
    metadata,
    Column("name", String, primary_key=True),
    Column("next_number", Integer, nullable=False),
    Column("live", Integer, nullable=True),
)

versions = Table(
    "versions",
    metadata,
    Column("name", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("adapter_hash", String, nullable=False, index=True),
    Column("dataset_hash", String, nullable=True, index=True),
    Column("document", JSON, nullable=False),
)

promotions = Table(
    "promotions",
    metadata,
    Column("name", String, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("action", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", String, nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("comparison", JSON(none_as_null=True), nullable=True),
)

comparisons = Table(
    "comparisons",
    metadata,
    Column("name", String, primary_key=True),
    Column("candidate", Integer, primary_key=True),
    Column("live", Integer, primary_key=True),
    Column("document", JSON, nullable=False),
)

datasets = Table(
    "datasets",
    metadata,
    Column("hash", String, primary_key=True),
    Column("document", JSON, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("project", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("document", JSON, nullable=False),
    Column("key", String, nullable=True, unique=True),
    Column("created_s", Double, nullable=False),
    Column("started_s", Double, nullable=True),
    Column("finished_s", Double, nullable=True),
    Column("attempts", Integer, nullable=False),
    Column("worker", String, nullable=True),
    Column("lease_until_s", Double, nullable=True),
    Column("wish", String, nullable=True),
    Column("result", JSON(none_as_null=True), nullable=True),
    Column("error", JSON(none_as_null=True), nullable=True),
)

job_events = Table(
    "job_events",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at_s", Double, nullable=False),
    Column("kind", String, nullable=False),
    Column("text", String, nullable=False),
    Column("data", JSON(none_as_null=True), nullable=True),
)

files = Table(
    "files",
    metadata,
    Column("id", String, primary_key=True),
    Column("project", String, nullable=False),
    Column("name", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String, nullable=False),
    Column("created_s", Double, nullable=False),
    Column("expires_s", Double, nullable=True),
)

evals = Table(
    "evals",
    metadata,
    Column("id", String, primary_key=True),
    Column("project", String, nullable=False),
    Column("created_s", Double, nullable=False),
    Column("updated_s", Double, nullable=False),
    Column("document", JSON, nullable=False),
)

eval_items = Table(
    "eval_items",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at_s", Double, nullable=False),
    Column("status", String, nullable=False),
    Column("document", JSON, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("project", String, nullable=False),
    Column("role", String, nullable=False),
    Column("secret_hash", String, nullable=False, unique=True),
    Column("prefix", String, nullable=False),
    Column("created_s", Double, nullable=False),
    Column("expires_s", Double, nullable=True),
    Column("revoked_s", Double, nullable=True),
    Column("last_used_s", Double, nullable=True),
    Column("requests_per_minute", Integer, nullable=True),
    Column("tokens_per_minute", Integer, nullable=True),
    Column("spend_per_month", Double, nullable=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String, primary_key=True),
    Column("key_id", String, nullable=True),
    Column("expires_s", Double, nullable=False),
)

meters = Table(
    "meters",
    metadata,
    Column("key_id", String, primary_key=True),
    Column("minute", Integer, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("month", String, nullable=False),
    Column("spend", Double, nullable=False),
)

ledger = Table(
    "ledger",
    metadata,
    Column("id", String, primary_key=True),
    Column("at_s", Double, nullable=False, index=True),
    Column("day", String, nullable=False),
    Column("key_id", String, nullable=False),
    Column("project", String, nullable=False),
    Column("model", String, nullable=False),
    Column("answers", Integer, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("answer_tokens", Integer, nullable=False),
    Column("machine_s", Double, nullable=False),
    Column("wait_s", Double, nullable=False),
    Column("cost", Double, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at_s", Double, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("details", JSON, nullable=False),
)

answers = Table(
    "answers",
    metadata,
    Column("id", String, primary_key=True),
    Column("created_s", Double, nullable=False, index=True),
    Column("key_id", String, nullable=False),
    Column("project", String, nullable=False),
    Column("model", String, nullable=False),
    Column("expert", String, nullable=True, index=True),
    Column("turns", JSON, nullable=False),
    Column("text", String, nullable=False),
    Column("certainty", Double, nullable=False),
    Column("disagreement", Double, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("decision", String, nullable=True),
    Column("wanted", String, nullable=True),
    Column("decided_s", Double, nullable=True),
    Column("decided_by", String, nullable=True),
    Column("job_id", String, nullable=True),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", String, primary_key=True),
    Column("answer_id", String, nullable=False, index=True),
    Column("at_s", Double, nullable=False),
    Column("key_id", String, nullable=False),
    Column("boolean", Boolean, nullable=True),
    Column("score", Double, nullable=True),
    Column("comment", String, nullable=True),
    Column("demonstration", String, nullable=True),
    Column("outcome", Boolean, nullable=True),
)

retraining_rules = Table(
    "retraining_rules",
    metadata,
    Column("expert", String, primary_key=True),
    Column("project", String, primary_key=True),
    Column("after", Integer, nullable=False),
)

votes = Table(
    "votes",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at_s", Double, nullable=False),
    Column("voter", String, nullable=False),
    Column("project", String, nullable=False),
    Column("left", String, nullable=False, index=True),
    Column("right", String, nullable=False),
    Column("winner", String, nullable=False),
)
