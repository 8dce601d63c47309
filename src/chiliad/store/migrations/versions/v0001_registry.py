"""Experts, versions, promotions, comparisons and datasets."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table("schema_version", sa.Column("number", sa.Integer, nullable=False))
    op.create_table(
        "experts",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("next_number", sa.Integer, nullable=False),
        sa.Column("live", sa.Integer, nullable=True),
    )
    op.create_table(
        "versions",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("adapter_hash", sa.String, nullable=False, index=True),
        sa.Column("dataset_hash", sa.String, nullable=True, index=True),
        sa.Column("document", sa.JSON, nullable=False),
    )
    op.create_table(
        "promotions",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("forced", sa.Boolean, nullable=False),
        sa.Column("comparison", sa.JSON, nullable=True),
    )
    op.create_table(
        "comparisons",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("candidate", sa.Integer, primary_key=True),
        sa.Column("live", sa.Integer, primary_key=True),
        sa.Column("document", sa.JSON, nullable=False),
    )
    op.create_table(
        "datasets",
        sa.Column("hash", sa.String, primary_key=True),
        sa.Column("document", sa.JSON, nullable=False),
    )
