"""Sign-ins that can be ended, by the person, an administrator, time, or a peer.

A browser carries a random id; a row says as whom it is signed in. Ending a sign-in also tells the
peers it was shared with, by notices written in the same transaction (protocol 7.7).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete, func, or_, outerjoin, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid.context import Context
from tconnect_pyramid.delivery.outbox import Outgoing, about_session, enqueue
from tconnect_pyramid.directory.accounts import VIEW_FIELDS, AccountView, as_view, in_batches
from tconnect_pyramid.directory.bulk import among
from tconnect_pyramid.errors import Conflict, NotFound
from tconnect_pyramid.models import ClientSession, Server, ServerSession, SignIn
from tconnect_pyramid.protocol import services
from tconnect_pyramid.secretbox import digest
from tconnect_pyramid.texts import text as _

EndReason = Literal["logout", "ended", "suspended", "deleted", "timeout", "peer", "sync", "left"]
"""Why a sign-in ends: by the person, by an administrator, because the account was suspended or
deleted here by hand, by time, because a peer said so, by what a sync did to the account, or because this
site has left its server."""

TELLS_THE_SERVER: frozenset[str] = frozenset({"logout", "ended", "suspended", "deleted"})
"""What ends a sign-in at its server too. Not a time-out: the person may be active elsewhere, and
the server asks its clients before it times out itself (protocol 7.5). Not what the server caused, and not
leaving it: people stay signed in there."""

KEEP_ENDED_SECONDS = 400 * 24 * 3600
"""How long an ended row is kept: longer than browsers keep a cookie."""
TOUCH_SECONDS = 60


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A live sign-in and its account.

    `acted_by`: the key of the administrator who acts as this account, None when it is the person
    themselves; `acted_from`: that administrator's own sign-in, which waits meanwhile. `proved`: when the
    person last proved who they are, at the latest when the sign-in began (Unix seconds).
    """

    signin_id: int
    account: AccountView
    last_seen: int
    acted_by: int | None = None
    acted_from: int | None = None
    proved: int = 0


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
            .add_columns(
                SignIn.id.label("signin_id"),
                SignIn.last_seen,
                func.coalesce(SignIn.proved, SignIn.timecreated).label("proved"),
                SignIn.ended,
                SignIn.acted_by,
                SignIn.acted_from,
            )
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
    if row["acted_by"] is not None and not _may_go_on_acting(session, context, row["acted_by"], account):
        return Ended()
    return SignedIn(
        row["signin_id"], account, row["last_seen"], row["acted_by"], row["acted_from"], row["proved"]
    )


def touch(session: Session, signin_id: int, now: int) -> None:
    """Remember that the person is active; so is the administrator's own sign-in while they act as somebody."""
    waiting = select(SignIn.acted_from).where(SignIn.id == signin_id, SignIn.acted_from.is_not(None))
    session.execute(
        update(SignIn)
        .where(or_(SignIn.id == signin_id, SignIn.id.in_(waiting)), SignIn.ended.is_(None))
        .values(last_seen=now)
        .execution_options(synchronize_session=False)
    )


def prove(session: Session, signin_id: int, now: int) -> None:
    """Remember that the person has just proved once more who they are, for acts that ask for it."""
    session.execute(update(SignIn).where(SignIn.id == signin_id, SignIn.ended.is_(None)).values(proved=now))


def act_as(session: Session, context: Context, signed_in: SignedIn, account_key: int, browser_id: str) -> int:
    """Let an administrator act as another person, in a sign-in of its own; gives its id.

    Theirs waits meanwhile, so that they stay signed in at its clients. `browser_id` must be a new one.
    Raises NotFound and Conflict when nobody may act as this account.
    """
    admin = signed_in.account
    person = context.accounts.view(session, account_key)
    if person is None:
        raise NotFound(_("There is no account with the id ${id}.", id=str(account_key)))
    if signed_in.acted_by is not None or not admin.admin:
        raise Conflict(_("Only an administrator, and as themselves, can begin to act as another person."))
    if person.admin or person.key == admin.key or person.suspended or person.deleted:
        raise Conflict(
            _(
                "Nobody can act as ${name}: an administrator, oneself, and accounts that are suspended "
                "or deleted are excepted.",
                name=person.fullname,
            )
        )
    # Locked: whoever ends it at this moment, a peer for example, either ends this one as well or is seen.
    own = select(SignIn.id).where(SignIn.id == signed_in.signin_id, SignIn.ended.is_(None)).with_for_update()
    if session.scalar(own) is None:
        raise Conflict(_("Your own sign-in has ended meanwhile. Log in again."))
    now = context.clock()
    row = SignIn(
        browser_hash=digest(browser_id),
        account_key=person.key,
        acted_by=admin.key,
        acted_from=signed_in.signin_id,
        timecreated=now,
        last_seen=now,
    )
    session.add(row)
    session.flush()
    context.audit(session, f"account:{admin.key}", "account.acting_began", person.username, id=person.key)
    return row.id


def stop_acting(session: Session, context: Context, signed_in: SignedIn, browser_id: str) -> bool:
    """Take an administrator back to their own sign-in; False when that has ended meanwhile.

    `browser_id` must be a new one: it becomes that of their own sign-in.
    """
    now = context.clock()
    session.execute(
        update(SignIn)
        .where(SignIn.id == signed_in.signin_id, SignIn.ended.is_(None))
        .values(ended=now, end_reason="ended")
    )
    back = session.scalars(
        update(SignIn)
        .where(SignIn.id == signed_in.acted_from, SignIn.ended.is_(None))
        .values(browser_hash=digest(browser_id), last_seen=now)
        .returning(SignIn.id)
    ).all()
    person = signed_in.account
    context.audit(
        session, f"account:{signed_in.acted_by}", "account.acting_ended", person.username, id=person.key
    )
    return bool(back)


def end(session: Session, context: Context, signin_ids: Sequence[int], reason: EndReason) -> list[int]:
    """End sign-ins and write the notices for their peers; gives the ids of the notices.

    The caller delivers them after its commit. Sign-ins that have ended already are left alone. With an
    administrator's sign-in ends the one in which they act as somebody else.
    """
    now = context.clock()
    outgoing: list[Outgoing] = []
    for some in in_batches(signin_ids):
        live = session.scalars(
            update(SignIn)
            .where(or_(SignIn.id.in_(some), SignIn.acted_from.in_(some)), SignIn.ended.is_(None))
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
            session.scalars(select(SignIn.id).where(among(SignIn.account_key, some), SignIn.ended.is_(None)))
        )
    return end(session, context, signin_ids, reason)


def _may_go_on_acting(session: Session, context: Context, admin_key: int, person: AccountView) -> bool:
    # Rights may change while somebody acts: asked at every request, like the account's own state.
    admin = context.accounts.view(session, admin_key)
    return admin is not None and admin.admin and not (admin.suspended or admin.deleted or person.admin)


def origin(session: Session, signin_id: int) -> str | None:
    """The name of the server a sign-in came from; None for one made on this site."""
    return session.scalar(
        select(Server.name)
        .join(ServerSession, ServerSession.server_id == Server.id)
        .where(ServerSession.signin_id == signin_id)
    )


@dataclass(frozen=True, slots=True)
class OpenSignIn:
    """A sign-in that has not ended. `origin`: the name of the server it came from, None for one made here."""

    id: int
    timecreated: int
    last_seen: int
    origin: str | None


def open_ones(session: Session, account_key: int) -> list[OpenSignIn]:
    """The sign-ins of an account that have not ended, the newest first."""
    rows = session.execute(
        select(SignIn.id, SignIn.timecreated, SignIn.last_seen, func.min(Server.name))
        .outerjoin(ServerSession, ServerSession.signin_id == SignIn.id)
        .outerjoin(Server, Server.id == ServerSession.server_id)
        .where(SignIn.account_key == account_key, SignIn.ended.is_(None))
        .group_by(SignIn.id, SignIn.timecreated, SignIn.last_seen)
        .order_by(SignIn.id.desc())
    )
    return [OpenSignIn(*row) for row in rows]


def end_one(session: Session, context: Context, account_key: int, signin_id: int, *, actor: str) -> list[int]:
    """End one sign-in of an account by hand; gives the ids of the notices. Raises NotFound."""
    row = session.get(SignIn, signin_id)
    if row is None or row.account_key != account_key or row.ended is not None:
        raise NotFound(_("This sign-in has ended already."))
    context.audit(session, actor, "session.ended", str(account_key), sessions=[signin_id])
    return end(session, context, [signin_id], "ended")


def forget_old(session: Session, now: int) -> int:
    """Remove rows of sign-ins that ended so long ago that no cookie of theirs is left."""
    ids = session.scalars(select(SignIn.id).where(SignIn.ended < now - KEEP_ENDED_SECONDS)).all()
    for some in in_batches(ids):
        session.execute(delete(SignIn).where(SignIn.id.in_(some)))
    return len(ids)
