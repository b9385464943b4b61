"""What belongs to an account besides its row: custom profile fields, job assignments, pictures."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tconnect_pyramid.models.base import AccountKey, Base, Pk, Seconds, never_reuse_ids


class ProfileField(Base):
    """A custom profile field of the site. Peers know it by `shortname` and `datatype` together (protocol 9)."""

    __tablename__ = "tconnect_profile_field"

    id: Mapped[Pk]
    shortname: Mapped[str] = mapped_column(String(255), unique=True)
    name: Mapped[str] = mapped_column(Text)
    # One of `checkbox`, `date`, `datetime`, `menu`, `text`, `textarea`.
    datatype: Mapped[str] = mapped_column(String(255))
    # The choices of a menu, one a line.
    choices: Mapped[str] = mapped_column(Text, default="", server_default="")
    sortorder: Mapped[int]

    __table_args__ = never_reuse_ids()


class ProfileValue(Base):
    """What an account has in a custom profile field, as kept: checkbox `0` or `1`, dates Unix seconds."""

    __tablename__ = "tconnect_profile_value"

    account_key: Mapped[int] = mapped_column(AccountKey, primary_key=True, autoincrement=False)
    field_id: Mapped[int] = mapped_column(
        ForeignKey(ProfileField.id, ondelete="CASCADE"), primary_key=True, index=True
    )
    data: Mapped[str] = mapped_column(Text)


class Job(Base):
    """A job assignment: what somebody is, where, and since when (protocol 6).

    `startdate`, `enddate` and `positionassignmentdate` are Unix seconds. `sortorder` counts from 1 for
    each account; the first one is the main job.
    """

    __tablename__ = "tconnect_job"

    id: Mapped[Pk]
    account_key: Mapped[int] = mapped_column(AccountKey)
    # None is kept apart from an empty text: a Totara client would rewrite what flips between them.
    fullname: Mapped[str | None] = mapped_column(String(255))
    shortname: Mapped[str | None] = mapped_column(String(100))
    idnumber: Mapped[str] = mapped_column(String(100))
    description: Mapped[str | None] = mapped_column(Text)
    startdate: Mapped[int | None] = mapped_column(BigInteger)
    enddate: Mapped[int | None] = mapped_column(BigInteger)
    position_id: Mapped[int | None] = mapped_column(
        ForeignKey("tconnect_position.id", ondelete="SET NULL"), index=True
    )
    positionassignmentdate: Mapped[int] = mapped_column(BigInteger)
    organisation_id: Mapped[int | None] = mapped_column(
        ForeignKey("tconnect_organisation.id", ondelete="SET NULL"), index=True
    )
    sortorder: Mapped[int]
    timecreated: Mapped[Seconds]
    timemodified: Mapped[Seconds]

    __table_args__ = never_reuse_ids(UniqueConstraint("account_key", "idnumber"))


class Picture(Base):
    """A file of an account's picture: `f1.png` (100 pixels), `f2.png` (35) and `f3.png` (512), or `.jpg`."""

    __tablename__ = "tconnect_picture"

    account_key: Mapped[int] = mapped_column(AccountKey, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(6), primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)
