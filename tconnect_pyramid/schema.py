"""The tables of this package by migrations: upgrading, and whether models and database agree."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from tconnect_pyramid.models import VERSION_TABLE, Base, include_name

MIGRATIONS = Path(__file__).parent / "migrations"


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration for our migrations, on a connection of the caller's."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection) -> None:
    """Bring our tables to the newest version, in the caller's transaction."""
    command.upgrade(alembic_config(connection), "head")


def current_version(engine: Engine) -> str | None:
    """The version the database is at, or None when it has none of our tables."""
    with engine.connect() as connection:
        return _migration_context(connection).get_current_revision()


@cache
def newest_version() -> str | None:
    """The version this code needs."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def differences(engine: Engine) -> list[str]:
    """How the database differs from the models; empty when they agree."""
    with engine.connect() as connection:
        context = _migration_context(connection)
        with warnings.catch_warnings():
            # SQLAlchemy cannot reflect an index on an expression from SQLite, and warns of it.
            warnings.filterwarnings("ignore", message=".*expression-based index.*")
            return [_describe(change) for change in compare_metadata(context, Base.metadata)]


def _migration_context(connection: Connection) -> MigrationContext:
    return MigrationContext.configure(
        connection,
        opts={
            "version_table": VERSION_TABLE,
            "include_name": include_name,
            "compare_type": True,
            "target_metadata": Base.metadata,
        },
    )


def _describe(change: Any) -> str:
    if isinstance(change, list):
        return "; ".join(_describe(part) for part in change)
    action, *rest = change
    names = [str(getattr(part, "name", part)) for part in rest if part is not None]
    return f"{action}: {' '.join(names)}"
