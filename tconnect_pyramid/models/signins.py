"""Sign-ins that can be ended: one row for each browser that is signed in."""

from __future__ import annotations

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from tconnect_pyramid.models.base import AccountKey, Base, Pk, Seconds, never_reuse_ids


class SignIn(Base):
    """A browser, known by the SHA-256 of the random id in its cookie, is signed in as an account.

    `ended` is None while the sign-in lives. An ended row is kept longer than any cookie can be
    used, so that the browser is told to forget instead of being taken for an unknown one.
    """

    __tablename__ = "tconnect_signin"

    id: Mapped[Pk]
    browser_hash: Mapped[str] = mapped_column(String(64), unique=True)
    account_key: Mapped[int] = mapped_column(AccountKey, index=True)
    # The administrator who acts as this account ("login as"), None when it is the person themselves.
    acted_by: Mapped[int | None] = mapped_column(AccountKey)
    # The sign-in of that administrator, which waits meanwhile; when it ends, so does this one.
    acted_from: Mapped[int | None] = mapped_column(BigInteger, index=True)
    timecreated: Mapped[Seconds]
    # When the person last gave their password while being signed in; None when only at the beginning.
    proved: Mapped[int | None] = mapped_column(BigInteger)
    last_seen: Mapped[Seconds] = mapped_column(index=True)
    ended: Mapped[int | None] = mapped_column(BigInteger)
    end_reason: Mapped[str] = mapped_column(String(20), default="")

    __table_args__ = never_reuse_ids()
