"""The code that Alembic runs for each command: the scripts, in the caller's own transaction."""

from alembic import context

from server.database.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
