"""Jobs, and what happened to them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False, index=True),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("key", sa.String, nullable=True, unique=True),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.Column("started_s", sa.Double, nullable=True),
        sa.Column("finished_s", sa.Double, nullable=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("worker", sa.String, nullable=True),
        sa.Column("lease_until_s", sa.Double, nullable=True),
        sa.Column("wish", sa.String, nullable=True),
        sa.Column("result", sa.JSON, nullable=True),
        sa.Column("error", sa.JSON, nullable=True),
    )
    op.create_table(
        "job_events",
        sa.Column("job_id", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("data", sa.JSON, nullable=True),
    )
