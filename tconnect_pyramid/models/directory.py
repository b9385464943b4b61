"""The directory: people, audiences, groups, courses and who belongs to them.

The account table's columns are the scalar keys of a user record, so that a site of ours can be
either end of the protocol without loss (protocol 6).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, false, func, true
from sqlalchemy.orm import Mapped, mapped_column

from tconnect_pyramid.models.base import AccountKey, Base, Pk, Seconds, never_reuse_ids


class Account(Base):
    """A local account. Lengths are those of the protocol's user record (protocol 6)."""

    __tablename__ = "tconnect_account"

    id: Mapped[Pk]
    auth: Mapped[str] = mapped_column(String(20), default="manual", server_default="manual")
    confirmed: Mapped[int] = mapped_column(default=1, server_default="1")
    policyagreed: Mapped[int] = mapped_column(default=0, server_default="0")
    deleted: Mapped[int] = mapped_column(default=0, server_default="0")
    suspended: Mapped[int] = mapped_column(default=0, server_default="0")
    username: Mapped[str] = mapped_column(String(100), unique=True)
    password: Mapped[str | None] = mapped_column(String(255))
    idnumber: Mapped[str] = mapped_column(String(255), default="", server_default="", index=True)
    firstname: Mapped[str] = mapped_column(String(100), default="", server_default="")
    lastname: Mapped[str] = mapped_column(String(100), default="", server_default="")
    email: Mapped[str] = mapped_column(String(100), default="", server_default="")
    emailstop: Mapped[int] = mapped_column(default=0, server_default="0")
    icq: Mapped[str] = mapped_column(String(15), default="", server_default="")
    skype: Mapped[str] = mapped_column(String(50), default="", server_default="")
    yahoo: Mapped[str] = mapped_column(String(50), default="", server_default="")
    aim: Mapped[str] = mapped_column(String(50), default="", server_default="")
    msn: Mapped[str] = mapped_column(String(50), default="", server_default="")
    phone1: Mapped[str] = mapped_column(String(20), default="", server_default="")
    phone2: Mapped[str] = mapped_column(String(20), default="", server_default="")
    institution: Mapped[str] = mapped_column(String(255), default="", server_default="")
    department: Mapped[str] = mapped_column(String(255), default="", server_default="")
    address: Mapped[str] = mapped_column(String(255), default="", server_default="")
    city: Mapped[str] = mapped_column(String(120), default="", server_default="")
    country: Mapped[str] = mapped_column(String(2), default="", server_default="")
    lang: Mapped[str] = mapped_column(String(30), default="en", server_default="en")
    calendartype: Mapped[str] = mapped_column(String(30), default="gregorian", server_default="gregorian")
    theme: Mapped[str] = mapped_column(String(50), default="", server_default="")
    timezone: Mapped[str] = mapped_column(String(100), default="99", server_default="99")
    firstaccess: Mapped[Seconds] = mapped_column(default=0, server_default="0")
    lastaccess: Mapped[Seconds] = mapped_column(default=0, server_default="0")
    lastlogin: Mapped[Seconds] = mapped_column(default=0, server_default="0")
    currentlogin: Mapped[Seconds] = mapped_column(default=0, server_default="0")
    lastip: Mapped[str] = mapped_column(String(45), default="", server_default="")
    picture: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    url: Mapped[str] = mapped_column(String(255), default="", server_default="")
    description: Mapped[str | None] = mapped_column(Text)
    descriptionformat: Mapped[int] = mapped_column(default=1, server_default="1")
    mailformat: Mapped[int] = mapped_column(default=1, server_default="1")
    maildigest: Mapped[int] = mapped_column(default=0, server_default="0")
    maildisplay: Mapped[int] = mapped_column(default=2, server_default="2")
    autosubscribe: Mapped[int] = mapped_column(default=1, server_default="1")
    trackforums: Mapped[int] = mapped_column(default=0, server_default="0")
    timecreated: Mapped[Seconds] = mapped_column(default=0, server_default="0")
    timemodified: Mapped[Seconds] = mapped_column(default=0, server_default="0")
    trustbitmask: Mapped[int] = mapped_column(default=0, server_default="0")
    imagealt: Mapped[str | None] = mapped_column(String(255))
    lastnamephonetic: Mapped[str | None] = mapped_column(String(255))
    firstnamephonetic: Mapped[str | None] = mapped_column(String(255))
    middlename: Mapped[str | None] = mapped_column(String(255))
    alternatename: Mapped[str | None] = mapped_column(String(255))
    totarasync: Mapped[int] = mapped_column(default=0, server_default="0")
    # Local rights. Not a key of the wire: no peer can grant them.
    admin: Mapped[bool] = mapped_column(default=False, server_default=false())

    __table_args__ = never_reuse_ids(Index("ix_tconnect_account_email_lower", func.lower(email)))


class PeopleSet:
    """What an audience and a group have alike: a named set of people.

    `component` is `auth_connect` when a sync owns the set, else empty.
    """

    id: Mapped[Pk]
    name: Mapped[str] = mapped_column(String(254))
    idnumber: Mapped[str] = mapped_column(String(100), default="", server_default="", index=True)
    description: Mapped[str] = mapped_column(Text, default="", server_default="")
    component: Mapped[str] = mapped_column(String(100), default="", server_default="")
    timecreated: Mapped[Seconds]
    timemodified: Mapped[Seconds]

    __table_args__ = never_reuse_ids()


class Audience(PeopleSet, Base):
    """A set of people, called `cohort` on the wire."""

    __tablename__ = "tconnect_audience"


class AudienceMember(Base):
    """An account belongs to an audience."""

    __tablename__ = "tconnect_audience_member"

    # The account leads: it is the selective column (an index led by the audience makes a
    # look-up on a new, unanalysed table scan the whole audience).
    account_key: Mapped[int] = mapped_column(AccountKey, primary_key=True, autoincrement=False)
    audience_id: Mapped[int] = mapped_column(
        ForeignKey(Audience.id, ondelete="CASCADE"), primary_key=True, index=True
    )


class FormerMember(Base):
    """An account was in an audience when it was deleted.

    Deleting ends memberships, so that a client which is restricted to the audience would never hear of
    it and merely suspend the account (protocol 5).
    """

    __tablename__ = "tconnect_former_member"

    account_key: Mapped[int] = mapped_column(AccountKey, primary_key=True, autoincrement=False)
    audience_id: Mapped[int] = mapped_column(
        ForeignKey(Audience.id, ondelete="CASCADE"), primary_key=True, index=True
    )


class Group(PeopleSet, Base):
    """A social site's counterpart of an audience: what collections become there (protocol 9)."""

    __tablename__ = "tconnect_group"


class GroupMember(Base):
    """An account belongs to a group."""

    __tablename__ = "tconnect_group_member"

    account_key: Mapped[int] = mapped_column(AccountKey, primary_key=True, autoincrement=False)
    group_id: Mapped[int] = mapped_column(
        ForeignKey(Group.id, ondelete="CASCADE"), primary_key=True, index=True
    )


class Course(Base):
    """A course that a server offers to its clients as a collection."""

    __tablename__ = "tconnect_course"

    id: Mapped[Pk]
    fullname: Mapped[str] = mapped_column(String(254))
    shortname: Mapped[str] = mapped_column(String(255), unique=True)
    idnumber: Mapped[str] = mapped_column(String(100), default="", server_default="", index=True)
    summary: Mapped[str] = mapped_column(Text, default="", server_default="")
    timecreated: Mapped[Seconds]
    timemodified: Mapped[Seconds]

    __table_args__ = never_reuse_ids()


class Enrolment(Base):
    """An account is enrolled in a course; only active ones are sent to clients (protocol 5)."""

    __tablename__ = "tconnect_enrolment"

    account_key: Mapped[int] = mapped_column(AccountKey, primary_key=True, autoincrement=False)
    course_id: Mapped[int] = mapped_column(
        ForeignKey(Course.id, ondelete="CASCADE"), primary_key=True, index=True
    )
    active: Mapped[bool] = mapped_column(default=True, server_default=true())
