"""The client role: the servers this site is connected to, and what here came from them."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, ForeignKey, LargeBinary, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from tconnect_pyramid.models.base import AccountKey, Base, Pk, Seconds, never_reuse_ids


class ConnectionRequest(Base):
    """The one open invitation to a new server (protocol 3.1). Kept encrypted, as it is shown again."""

    __tablename__ = "tconnect_connection_request"

    # Always 1: two open invitations cannot exist.
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    timecreated: Mapped[Seconds]


class Server(Base):
    """A server this site is a client of. `state` is `active` or `leaving` (being deleted).

    The client's secret is only compared, so its SHA-256 is kept; the server's secret is sent with
    each call, so it is kept encrypted.
    """

    __tablename__ = "tconnect_server"

    id: Mapped[Pk]
    state: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(255))
    url: Mapped[str] = mapped_column(String(255))
    idnumber: Mapped[str] = mapped_column(String(40), unique=True)
    server_secret: Mapped[bytes] = mapped_column(LargeBinary)
    client_idnumber: Mapped[str] = mapped_column(String(40), unique=True)
    client_secret_hash: Mapped[str] = mapped_column(String(64))
    apiversion: Mapped[int] = mapped_column(default=1)
    comment: Mapped[str] = mapped_column(Text, default="")
    # The guards of its runs that are others than this site's, by the names of the options.
    guards: Mapped[dict[str, str]] = mapped_column(JSON, default=dict, server_default="{}")
    timecreated: Mapped[Seconds]
    timemodified: Mapped[Seconds]

    __table_args__ = never_reuse_ids()


class SignInRequest(Base):
    """A browser was sent to a server to sign in and has not come back yet (protocol 7.1).

    The request token is found by its SHA-256 and kept encrypted: a second click sends it again.
    """

    __tablename__ = "tconnect_signin_request"

    id: Mapped[Pk]
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    token: Mapped[bytes] = mapped_column(LargeBinary)
    server_id: Mapped[int] = mapped_column(ForeignKey(Server.id, ondelete="CASCADE"))
    browser_hash: Mapped[str] = mapped_column(String(64))
    wanted: Mapped[str] = mapped_column(Text)
    timecreated: Mapped[Seconds] = mapped_column(index=True)

    __table_args__ = (UniqueConstraint("browser_hash", "server_id"),)


class ServerSession(Base):
    """A sign-in here that came from a server: one SSO session of the client role (protocol 7.4)."""

    __tablename__ = "tconnect_server_session"

    id: Mapped[Pk]
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    token: Mapped[bytes] = mapped_column(LargeBinary)
    server_id: Mapped[int] = mapped_column(ForeignKey(Server.id, ondelete="CASCADE"), index=True)
    signin_id: Mapped[int] = mapped_column(ForeignKey("tconnect_signin.id", ondelete="CASCADE"), index=True)
    person_id: Mapped[int] = mapped_column(BigInteger)
    account_key: Mapped[int] = mapped_column(AccountKey, index=True)
    timecreated: Mapped[Seconds]

    __table_args__ = never_reuse_ids()


class Link(Base):
    """A person of a server is this local account. Survives the account's deletion (protocol 9)."""

    __tablename__ = "tconnect_link"

    # The person leads, not the server: with the constant column in front, a look-up on a freshly
    # filled table scans everything (measured: 127 s instead of 5 for 100,000 people).
    person_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    server_id: Mapped[int] = mapped_column(
        ForeignKey(Server.id, ondelete="CASCADE"), primary_key=True, index=True
    )
    account_key: Mapped[int] = mapped_column(AccountKey, unique=True)
    # A sync suspended the account: only then may a sync lift the suspension again.
    suspended_by_sync: Mapped[bool] = mapped_column(default=False)
    created_by_run: Mapped[int | None] = mapped_column(BigInteger, index=True)
    timecreated: Mapped[Seconds]
    # What the server said of the person when the account was last put in order, as a digest; None where the
    # next run has to look, whatever it says.
    digest: Mapped[bytes | None] = mapped_column(LargeBinary(16))
    # Who the person is at the server. Where both are others, the id has become somebody else's there; None of links
    # that are older than these columns, until the next run.
    person_username: Mapped[str | None] = mapped_column(String(100))
    person_timecreated: Mapped[int | None] = mapped_column(BigInteger)
    # The server's list has somebody else under this id: no sync touches the account until that is resolved.
    in_doubt: Mapped[bool] = mapped_column(default=False, server_default=false())


class Collection(Base):
    """A collection of a server is this local audience (on a social site: group)."""

    __tablename__ = "tconnect_collection"

    id: Mapped[Pk]
    remote_id: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(10))
    server_id: Mapped[int] = mapped_column(ForeignKey(Server.id, ondelete="CASCADE"), index=True)
    # The id of the audience or group, whichever this site keeps.
    local_id: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = never_reuse_ids(UniqueConstraint("remote_id", "kind", "server_id"))


class AwaitedMember(Base):
    """A collection has a member whom this site does not know yet.

    The users sync adds the person on creating the account, so that the order of the syncs is a
    matter of speed, never of truth.
    """

    __tablename__ = "tconnect_awaited_member"

    person_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    collection_id: Mapped[int] = mapped_column(
        ForeignKey(Collection.id, ondelete="CASCADE"), primary_key=True, index=True
    )


class Counterpart(Base):
    """Something else of a server is this local row, for as long as the server sends it (protocol 9).

    `kind` is `position_framework`, `position`, `organisation_framework`, `organisation` or `job`.
    """

    __tablename__ = "tconnect_counterpart"

    # The selective column leads, as in `Link`.
    remote_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(30), primary_key=True)
    server_id: Mapped[int] = mapped_column(
        ForeignKey(Server.id, ondelete="CASCADE"), primary_key=True, index=True
    )
    local_id: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (UniqueConstraint("local_id", "kind"),)
