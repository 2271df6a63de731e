"""How alembic reaches the database: over the connection that `migrate` has locked for it."""

from alembic import context

import records.master_data
import records.tables  # noqa: F401 - both for their tables
from records.base import Record

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Record.metadata
)
with context.begin_transaction():
    context.run_migrations()
