"""Kept answers, what people said about them, and when an expert is retrained by itself."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "answers",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("created_s", sa.Double, nullable=False, index=True),
        sa.Column("key_id", sa.String, nullable=False),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("expert", sa.String, nullable=True, index=True),
        sa.Column("turns", sa.JSON, nullable=False),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("certainty", sa.Double, nullable=False),
        sa.Column("disagreement", sa.Double, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("decision", sa.String, nullable=True),
        sa.Column("wanted", sa.String, nullable=True),
        sa.Column("decided_s", sa.Double, nullable=True),
        sa.Column("decided_by", sa.String, nullable=True),
        sa.Column("job_id", sa.String, nullable=True),
    )
    op.create_table(
        "feedback",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("answer_id", sa.String, nullable=False, index=True),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("key_id", sa.String, nullable=False),
        sa.Column("boolean", sa.Boolean, nullable=True),
        sa.Column("score", sa.Double, nullable=True),
        sa.Column("comment", sa.String, nullable=True),
        sa.Column("demonstration", sa.String, nullable=True),
        sa.Column("outcome", sa.Boolean, nullable=True),
    )
    op.create_table(
        "retraining_rules",
        sa.Column("expert", sa.String, primary_key=True),
        sa.Column("project", sa.String, primary_key=True),
        sa.Column("after", sa.Integer, nullable=False),
    )
