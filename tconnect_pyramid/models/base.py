"""What every table shares: the metadata, naming of constraints, and the column types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from sqlalchemy import BigInteger, Integer, MetaData
from sqlalchemy.orm import DeclarativeBase, mapped_column

TABLE_PREFIX = "tconnect_"
VERSION_TABLE = "tconnect_alembic_version"

# An account's key as it stands in columns of ours that point to an account, our own table's or a
# host's. One name for one type, so that no join ever needs a cast. There is no foreign key into
# the account table: it may be a host's.
AccountKey = BigInteger

# SQLite counts rows by itself only for a column declared INTEGER PRIMARY KEY.
BigId = BigInteger().with_variant(Integer, "sqlite")

Pk = Annotated[int, mapped_column(BigId, primary_key=True, autoincrement=True)]
Seconds = Annotated[int, mapped_column(BigInteger)]
"""A point in time: Unix seconds, UTC, as on the wire."""


class Base(DeclarativeBase):
    """Base of all our mapped classes; `Base.metadata` holds our tables and no others."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def never_reuse_ids(*constraints: Any) -> tuple[Any, ...]:
    """`__table_args__` of a table whose ids may outlive their rows elsewhere.

    Without AUTOINCREMENT, SQLite gives the id of the last removed row to the next one: another
    person would inherit the links and members of a removed account.
    """
    return (*constraints, {"sqlite_autoincrement": True})


def include_name(name: str | None, type_: str, parent_names: Mapping[Any, str | None]) -> bool:
    """Alembic's `include_name` hook: True for tables of ours only.

    It is no hook for a host, whose own autogenerate must pass over every table that begins with
    `TABLE_PREFIX`, the table of our version included (docs/hosts.md).
    """
    del parent_names
    return type_ != "table" or (name is not None and name.startswith(TABLE_PREFIX) and name != VERSION_TABLE)
