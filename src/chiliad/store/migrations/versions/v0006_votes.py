"""Votes of blind comparisons."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "votes",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("voter", sa.String, nullable=False),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("left", sa.String, nullable=False, index=True),
        sa.Column("right", sa.String, nullable=False),
        sa.Column("winner", sa.String, nullable=False),
    )
