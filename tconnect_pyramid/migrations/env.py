"""Alembic's entry: runs our migrations on the connection that `schema.upgrade` gives."""

from __future__ import annotations

from alembic import context

from tconnect_pyramid.models import VERSION_TABLE, Base, include_name

# Not in batch mode: on SQLite that makes a table anew, and dropping the old one takes along whatever hangs
# from its rows.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    include_name=include_name,
    compare_type=True,
)
context.run_migrations()
