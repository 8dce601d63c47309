"""Alembic's environment: runs its steps in the transaction that `chiliad.store.schema` has begun."""

from alembic import context

from chiliad.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
