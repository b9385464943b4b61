"""The site itself: its identity, its administrator's options, the audit trail, the outbox."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from tconnect_pyramid.models.base import Base, Pk, Seconds, never_reuse_ids


class SiteValue(Base):
    """A fact about this site made once: `serveridnumber` (protocol 3), `account_key` (its column type), `had_positions`."""

    __tablename__ = "tconnect_site_value"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class Option(Base):
    """An administrator's choice; absent means the default. A value in the ini wins over it."""

    __tablename__ = "tconnect_option"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    timemodified: Mapped[Seconds]


class AuditEntry(Base):
    """Who changed what: connections, options, accounts by hand, ended sign-ins. Never a secret."""

    __tablename__ = "tconnect_audit"

    id: Mapped[Pk]
    time: Mapped[Seconds] = mapped_column(index=True)
    # `command`, `page`, `schedule`, `peer:<idnumber>` or `account:<key>`.
    actor: Mapped[str] = mapped_column(String(100))
    action: Mapped[str] = mapped_column(String(60))
    subject: Mapped[str] = mapped_column(Text, default="")
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)

    __table_args__ = never_reuse_ids()


class Notice(Base):
    """A service call that must reach a peer, log-outs above all, until the peer has confirmed it."""

    __tablename__ = "tconnect_outbox"

    id: Mapped[Pk]
    # Which table `peer_id` points into: `client` (we are its server) or `server`.
    role: Mapped[str] = mapped_column(String(10))
    peer_id: Mapped[int] = mapped_column(BigInteger)
    service: Mapped[str] = mapped_column(String(60))
    # The call's own parameters, encrypted: they name a session.
    parameters: Mapped[bytes] = mapped_column(LargeBinary)
    timecreated: Mapped[Seconds]
    attempts: Mapped[int] = mapped_column(default=0)
    due: Mapped[Seconds] = mapped_column(index=True)
    claimed_until: Mapped[Seconds] = mapped_column(default=0)
    given_up: Mapped[int | None] = mapped_column(BigInteger)
    last_error: Mapped[str] = mapped_column(Text, default="")

    __table_args__ = never_reuse_ids()
