"""A host's own table of people, mapped: a flag the other way round, a moment of deletion, one column for the name."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import DateTime, String, orm
from sqlalchemy.orm import DeclarativeBase, mapped_column

from tconnect_pyramid.directory.columnmap import ColumnMap, inverted, joined, timestamp_flag


class Host(DeclarativeBase):
    """The host's tables."""


class Member(Host):
    """Somebody who uses the host's site."""

    __tablename__ = "host_member"
    __table_args__ = ({"sqlite_autoincrement": True},)

    number: orm.Mapped[int] = mapped_column(primary_key=True)
    login: orm.Mapped[str] = mapped_column(String(100), unique=True)
    mail: orm.Mapped[str] = mapped_column(String(100))
    full_name: orm.Mapped[str] = mapped_column(String(201))
    active: orm.Mapped[bool]
    left_at: orm.Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    town: orm.Mapped[str | None] = mapped_column(String(120))
    tenant: orm.Mapped[str]


def columns() -> ColumnMap:
    """How the table keeps what a person of a server has."""
    return ColumnMap(
        Member,
        {
            "username": Member.login,
            "email": Member.mail,
            "firstname": joined(Member.full_name, "firstname", "lastname"),
            "suspended": inverted(Member.active),
            "deleted": timestamp_flag(Member.left_at, lambda: datetime.now(UTC)),
            "city": Member.town,
        },
        defaults={"tenant": "main"},
    )


def columns_without_deletion() -> ColumnMap:
    """The same of a host that keeps nobody who is deleted."""
    known = columns()
    fields = {name: where for name, where in known.fields.items() if name != "deleted"}
    return ColumnMap(Member, fields, known.defaults)


def make_tables(context) -> None:
    """Make the host's tables beside ours."""
    Host.metadata.create_all(context.database.engine)
