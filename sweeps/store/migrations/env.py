"""Run by alembic, on the connection that `upgrade` hands over."""

from alembic import context

from sweeps.store.migrations import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"], version_table=VERSION_TABLE, transactional_ddl=False
)
context.run_migrations()
