"""Files, jobs and evals belong to projects; those that there are to the default one, like the requests of old."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    for table in ("files", "jobs", "evals"):
        op.add_column(table, sa.Column("project", sa.String, nullable=False, server_default="default"))
