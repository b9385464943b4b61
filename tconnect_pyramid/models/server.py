"""The server role: which sites are clients of this one, what each may see, who is signed in there."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, Text, false, true
from sqlalchemy.orm import Mapped, mapped_column

from tconnect_pyramid.models.base import AccountKey, Base, Pk, Seconds, never_reuse_ids


class Client(Base):
    """A client site registered at this server (protocol 3 and 8).

    `state` is `registering` while the client is being asked, then `active`, then `deleted`. The
    server's secret is only ever compared, so its SHA-256 is kept; the client's secret is sent with
    each call to the client, so it is kept encrypted. The `next_` ones are those it has been offered, or is
    about to be, until it is known that it has taken them.
    """

    __tablename__ = "tconnect_client"

    id: Mapped[Pk]
    state: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(255))
    url: Mapped[str] = mapped_column(String(255), index=True)
    idnumber: Mapped[str] = mapped_column(String(40), unique=True)
    client_secret: Mapped[bytes] = mapped_column(LargeBinary)
    server_secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    next_client_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    next_server_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    next_server_secret_hash: Mapped[str | None] = mapped_column(String(64), index=True, unique=True)
    apiversion: Mapped[int] = mapped_column(default=1)
    clienttype: Mapped[str] = mapped_column(String(20), default="")
    # No foreign key on purpose: when the audience is gone, nobody may be sent, and a NULL would
    # mean everybody (protocol 5).
    restrict_audience_id: Mapped[int | None] = mapped_column(BigInteger)
    add_new_audiences: Mapped[bool] = mapped_column(default=False)
    add_new_courses: Mapped[bool] = mapped_column(default=False)
    sends_profile_fields: Mapped[bool] = mapped_column(default=True, server_default=true())
    sends_jobs: Mapped[bool] = mapped_column(default=True, server_default=true())
    plugin_services: Mapped[bool] = mapped_column(default=False, server_default=false())
    comment: Mapped[str] = mapped_column(Text, default="")
    # When it last called a service here, to the minute; None when it never has.
    last_call: Mapped[int | None] = mapped_column(BigInteger)
    timecreated: Mapped[Seconds]
    timemodified: Mapped[Seconds]

    __table_args__ = never_reuse_ids()


class ClientAudience(Base):
    """An audience is synchronised to a client."""

    __tablename__ = "tconnect_client_audience"

    client_id: Mapped[int] = mapped_column(ForeignKey(Client.id, ondelete="CASCADE"), primary_key=True)
    audience_id: Mapped[int] = mapped_column(
        ForeignKey("tconnect_audience.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class ClientCourse(Base):
    """A course is synchronised to a client."""

    __tablename__ = "tconnect_client_course"

    client_id: Mapped[int] = mapped_column(ForeignKey(Client.id, ondelete="CASCADE"), primary_key=True)
    course_id: Mapped[int] = mapped_column(
        ForeignKey("tconnect_course.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class ClientPositionFramework(Base):
    """A framework of positions is synchronised to a client."""

    __tablename__ = "tconnect_client_position_framework"

    client_id: Mapped[int] = mapped_column(ForeignKey(Client.id, ondelete="CASCADE"), primary_key=True)
    framework_id: Mapped[int] = mapped_column(
        ForeignKey("tconnect_position_framework.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class ClientOrganisationFramework(Base):
    """A framework of organisations is synchronised to a client."""

    __tablename__ = "tconnect_client_organisation_framework"

    client_id: Mapped[int] = mapped_column(ForeignKey(Client.id, ondelete="CASCADE"), primary_key=True)
    framework_id: Mapped[int] = mapped_column(
        ForeignKey("tconnect_organisation_framework.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class ClientSession(Base):
    """A sign-in of this server carried on to a client: one SSO session of the server role.

    The ssotoken is redeemed once, within a minute; afterwards it only names the session, until the
    sign-in ends (protocol 5 and 7). It is found by its SHA-256 and kept encrypted, because it is
    sent again when the session is to end.
    """

    __tablename__ = "tconnect_client_session"

    id: Mapped[Pk]
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    token: Mapped[bytes] = mapped_column(LargeBinary)
    client_id: Mapped[int] = mapped_column(ForeignKey(Client.id, ondelete="CASCADE"), index=True)
    signin_id: Mapped[int] = mapped_column(ForeignKey("tconnect_signin.id", ondelete="CASCADE"), index=True)
    account_key: Mapped[int] = mapped_column(AccountKey, index=True)
    timecreated: Mapped[Seconds]
    redeemed: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = never_reuse_ids()
