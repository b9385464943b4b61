"""Sign-ins that can be ended, by the person, an administrator, time, or a peer.

A browser carries a random id; a row says as whom it is signed in. Ending a sign-in also tells the
peers it was shared with, by notices written in the same transaction (protocol 7.7).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete, outerjoin, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid.context import Context
from tconnect_pyramid.delivery.outbox import Outgoing, about_session, enqueue
from tconnect_pyramid.directory.accounts import VIEW_FIELDS, AccountView, as_view, in_batches
from tconnect_pyramid.models import ClientSession, Server, ServerSession, SignIn
from tconnect_pyramid.protocol import services
from tconnect_pyramid.secretbox import digest

EndReason = Literal["logout", "ended", "suspended", "deleted", "timeout", "peer", "sync"]
"""Why a sign-in ends: by the person, by an administrator, because the account was suspended or
deleted here by hand, by time, because a peer said so, or by what a sync did to the account."""

TELLS_THE_SERVER: frozenset[str] = frozenset({"logout", "ended", "suspended", "deleted"})
"""What ends a sign-in at its server too. Not a time-out: the person may be active elsewhere, and
the server asks its clients before it times out itself (protocol 7.5). Not what the server caused."""

KEEP_ENDED_SECONDS = 400 * 24 * 3600
"""How long an ended row is kept: longer than browsers keep a cookie."""
TOUCH_SECONDS = 60


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A live sign-in and its account."""

    signin_id: int
    account: AccountView
    last_seen: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The browser was signed in by us once and must be told to forget."""


def new_browser_id() -> str:
    """A random id for a browser's cookie."""
    return secrets.token_urlsafe(24)


def start(session: Session, browser_id: str, account_key: int, now: int) -> int:
    """Sign a browser in; gives the sign-in's id. The browser id must be a new one."""
    row = SignIn(browser_hash=digest(browser_id), account_key=account_key, timecreated=now, last_seen=now)
    session.add(row)
    session.flush()
    return row.id


def look_up(session: Session, context: Context, browser_id: str) -> SignedIn | Ended | None:
    """As whom this browser is signed in; None when no sign-in of ours ever used this id."""
    accounts = context.accounts
    row = (
        session.execute(
            accounts.select(VIEW_FIELDS)
            .add_columns(SignIn.id.label("signin_id"), SignIn.last_seen, SignIn.ended)
            # Outer: where a host has removed the account's row, the sign-in has ended, it is not unknown.
            .select_from(outerjoin(SignIn, accounts.columns.mapped_class, SignIn.account_key == accounts.key))
            .where(SignIn.browser_hash == digest(browser_id))
        )
        .mappings()
        .first()
    )
    if row is None:
        return None
    timeout = context.options(session).session_timeout
    if row["key"] is None or row["ended"] is not None or row["last_seen"] + timeout < context.clock():
        return Ended()
    account = as_view(row)
    if account.suspended or account.deleted:
        return Ended()
    return SignedIn(row["signin_id"], account, row["last_seen"])


def touch(session: Session, signin_id: int, now: int) -> None:
    """Remember that the person is active."""
    session.execute(
        update(SignIn).where(SignIn.id == signin_id, SignIn.ended.is_(None)).values(last_seen=now)
    )


def end(session: Session, context: Context, signin_ids: Sequence[int], reason: EndReason) -> list[int]:
    """End sign-ins and write the notices for their peers; gives the ids of the notices.

    The caller delivers them after its commit. Sign-ins that have ended already are left alone.
    """
    now = context.clock()
    outgoing: list[Outgoing] = []
    for some in in_batches(signin_ids):
        live = session.scalars(
            update(SignIn)
            .where(SignIn.id.in_(some), SignIn.ended.is_(None))
            .values(ended=now, end_reason=reason)
            .returning(SignIn.id)
        ).all()
        if not live:
            continue
        for client_id, token in session.execute(
            select(ClientSession.client_id, ClientSession.token)
            .where(ClientSession.signin_id.in_(live))
            .order_by(ClientSession.id)
        ):
            outgoing += about_session(context.box, "client", client_id, services.KILL_SSO_USER, token)
        if reason in TELLS_THE_SERVER:
            for server_id, token in session.execute(
                select(ServerSession.server_id, ServerSession.token)
                .where(ServerSession.signin_id.in_(live))
                .order_by(ServerSession.id)
            ):
                outgoing += about_session(context.box, "server", server_id, services.FORCE_SSO_LOGOUT, token)
        session.execute(delete(ClientSession).where(ClientSession.signin_id.in_(live)))
        session.execute(delete(ServerSession).where(ServerSession.signin_id.in_(live)))
    return enqueue(session, context.box, outgoing, now)


def end_of_accounts(
    session: Session, context: Context, account_keys: Sequence[int], reason: EndReason
) -> list[int]:
    """End every sign-in of these accounts; gives the ids of the notices."""
    signin_ids: list[int] = []
    for some in in_batches(account_keys):
        signin_ids.extend(
            session.scalars(select(SignIn.id).where(SignIn.account_key.in_(some), SignIn.ended.is_(None)))
        )
    return end(session, context, signin_ids, reason)


def origin(session: Session, signin_id: int) -> str | None:
    """The name of the server a sign-in came from; None for one made on this site."""
    return session.scalar(
        select(Server.name)
        .join(ServerSession, ServerSession.server_id == Server.id)
        .where(ServerSession.signin_id == signin_id)
    )


def forget_old(session: Session, now: int) -> int:
    """Remove rows of sign-ins that ended so long ago that no cookie of theirs is left."""
    ids = session.scalars(select(SignIn.id).where(SignIn.ended < now - KEEP_ENDED_SECONDS)).all()
    for some in in_batches(ids):
        session.execute(delete(SignIn).where(SignIn.id.in_(some)))
    return len(ids)
