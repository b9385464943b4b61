"""Positions and organisations: frameworks, the trees in them, their types and custom fields.

Both are built alike, so each table exists twice, from one description (protocol 5).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from tconnect_pyramid.models.base import Base, Pk, Seconds, never_reuse_ids


class FrameworkColumns:
    """A framework: one tree of items. Shown in the order of `sortorder`, from 1."""

    id: Mapped[Pk]
    idnumber: Mapped[str] = mapped_column(String(100), default="", server_default="", index=True)
    fullname: Mapped[str] = mapped_column(String(1024))
    shortname: Mapped[str] = mapped_column(String(100), default="", server_default="")
    description: Mapped[str] = mapped_column(Text, default="", server_default="")
    sortorder: Mapped[int]
    visible: Mapped[int] = mapped_column(default=1, server_default="1")
    hidecustomfields: Mapped[int] = mapped_column(default=0, server_default="0")
    timecreated: Mapped[Seconds]
    timemodified: Mapped[Seconds]

    __table_args__ = never_reuse_ids()


class TypeColumns:
    """A type of items, which decides their custom fields. Peers know it by its idnumber (protocol 9)."""

    id: Mapped[Pk]
    idnumber: Mapped[str] = mapped_column(String(100), unique=True)
    fullname: Mapped[str] = mapped_column(String(1024))
    timecreated: Mapped[Seconds]
    timemodified: Mapped[Seconds]

    __table_args__ = never_reuse_ids()


class TypeFieldColumns:
    """A custom field that the items of a type have."""

    __tablename__: str

    id: Mapped[Pk]
    shortname: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(Text, default="", server_default="")
    datatype: Mapped[str] = mapped_column(String(255))
    sortorder: Mapped[int]

    @declared_attr
    def type_id(cls) -> Mapped[int]:
        """The type that has the field."""
        return mapped_column(ForeignKey(f"{cls.__tablename__.removesuffix('_field')}.id", ondelete="CASCADE"))

    @declared_attr.directive
    def __table_args__(cls) -> object:
        return never_reuse_ids(UniqueConstraint("type_id", "shortname"))


class ItemColumns:
    """A position or organisation in a framework's tree.

    `path` holds the local ids from the root, as `/1/5/9`; `depthlevel` counts from 1; `sortthread` is the
    place among all items of the framework, such as `01.02`. `component` is `auth_connect` when a sync
    owns the item, else empty.
    """

    __tablename__: str

    id: Mapped[Pk]
    idnumber: Mapped[str] = mapped_column(String(100), default="", server_default="", index=True)
    fullname: Mapped[str] = mapped_column(String(1024))
    shortname: Mapped[str] = mapped_column(String(100), default="", server_default="")
    description: Mapped[str] = mapped_column(Text, default="", server_default="")
    path: Mapped[str] = mapped_column(Text, default="", server_default="")
    depthlevel: Mapped[int] = mapped_column(default=1, server_default="1")
    sortthread: Mapped[str] = mapped_column(String(255), default="", server_default="")
    visible: Mapped[int] = mapped_column(default=1, server_default="1")
    component: Mapped[str] = mapped_column(String(100), default="", server_default="")
    timecreated: Mapped[Seconds]
    timemodified: Mapped[Seconds]

    @declared_attr
    def framework_id(cls) -> Mapped[int]:
        """The framework that the item is in."""
        return mapped_column(ForeignKey(f"{cls.__tablename__}_framework.id", ondelete="CASCADE"), index=True)

    @declared_attr
    def parent_id(cls) -> Mapped[int | None]:
        """The item above, None for one at the top."""
        return mapped_column(ForeignKey(f"{cls.__tablename__}.id", ondelete="CASCADE"), index=True)

    @declared_attr
    def type_id(cls) -> Mapped[int | None]:
        """The item's type, None for one without custom fields."""
        return mapped_column(ForeignKey(f"{cls.__tablename__}_type.id", ondelete="SET NULL"), index=True)

    __table_args__ = never_reuse_ids()


class ItemValueColumns:
    """What an item has in a custom field of its type; `value` is a parameter beside it, mostly None."""

    __tablename__: str

    data: Mapped[str] = mapped_column(Text)
    value: Mapped[str | None] = mapped_column(Text)

    @declared_attr
    def item_id(cls) -> Mapped[int]:
        """The item."""
        table = cls.__tablename__.removesuffix("_value")
        return mapped_column(ForeignKey(f"{table}.id", ondelete="CASCADE"), primary_key=True)

    @declared_attr
    def field_id(cls) -> Mapped[int]:
        """The field of the item's type."""
        table = f"{cls.__tablename__.removesuffix('_value')}_type_field"
        return mapped_column(ForeignKey(f"{table}.id", ondelete="CASCADE"), primary_key=True, index=True)


class PositionFramework(FrameworkColumns, Base):
    """A framework of positions."""

    __tablename__ = "tconnect_position_framework"


class PositionType(TypeColumns, Base):
    """A type of positions."""

    __tablename__ = "tconnect_position_type"


class PositionTypeField(TypeFieldColumns, Base):
    """A custom field of positions of a type."""

    __tablename__ = "tconnect_position_type_field"


class Position(ItemColumns, Base):
    """What somebody may be; only positions may be limited to a time, in Unix seconds."""

    __tablename__ = "tconnect_position"

    timevalidfrom: Mapped[int | None] = mapped_column(BigInteger)
    timevalidto: Mapped[int | None] = mapped_column(BigInteger)


class PositionValue(ItemValueColumns, Base):
    """A custom value of a position."""

    __tablename__ = "tconnect_position_value"


class OrganisationFramework(FrameworkColumns, Base):
    """A framework of organisations."""

    __tablename__ = "tconnect_organisation_framework"


class OrganisationType(TypeColumns, Base):
    """A type of organisations."""

    __tablename__ = "tconnect_organisation_type"


class OrganisationTypeField(TypeFieldColumns, Base):
    """A custom field of organisations of a type."""

    __tablename__ = "tconnect_organisation_type_field"


class Organisation(ItemColumns, Base):
    """Where somebody may work."""

    __tablename__ = "tconnect_organisation"


class OrganisationValue(ItemValueColumns, Base):
    """A custom value of an organisation."""

    __tablename__ = "tconnect_organisation_value"
