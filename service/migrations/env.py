"""Alembic's entry: the connection is that of `service.database.Database.migrate`."""

from alembic import context

from service.database import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
context.run_migrations()
