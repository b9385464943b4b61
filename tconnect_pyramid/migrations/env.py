"""Alembic's entry: runs our migrations on the connection that `schema.upgrade` gives."""

from __future__ import annotations

from alembic import context

from tconnect_pyramid.models import VERSION_TABLE, Base, include_name

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    include_name=include_name,
    render_as_batch=True,
    compare_type=True,
)
context.run_migrations()
