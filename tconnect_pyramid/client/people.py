"""One person of a server, kept as a local account: what single sign-on and a profile refresh do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import update
from sqlalchemy.orm import Session

from tconnect_pyramid import sessions
from tconnect_pyramid.client import accounts as rules
from tconnect_pyramid.client import memberships, migration
from tconnect_pyramid.client.linked import (
    SOMEBODY_ELSE,
    Identity,
    Linked,
    Pointer,
    drop_stale_links,
    read_accounts,
    read_links,
    why_left_alone,
)
from tconnect_pyramid.client.migration import Outcome
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory import pictures
from tconnect_pyramid.directory.columnmap import STANDARD_FIELDS
from tconnect_pyramid.errors import BadRecord, BadReply, Conflict
from tconnect_pyramid.models import Link
from tconnect_pyramid.peers import PERSON_WAITS, ServerPeer, ask_server
from tconnect_pyramid.protocol import replies, services
from tconnect_pyramid.protocol.users import UserRecord
from tconnect_pyramid.protocol.values import canonical_int
from tconnect_pyramid.texts import text as _

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """The key of a person's account, and ids of notices for `deliver_now` after the commit."""

    key: int
    notices: list[int]


@dataclass(frozen=True, slots=True)
class NewPicture:
    """A picture that the account does not have yet, checked; no files: it is to have none."""

    number: int
    files: Mapping[str, bytes]


def fetch_person(context: Context, peer: ServerPeer, person_id: int) -> dict[str, object] | None:
    """The record of one person as a server sends it, unread; None when it has nobody to send (protocol 5).

    Raises PeerError, BadReply when the answer says neither, BadRecord when it is about somebody else.
    """
    data = ask_server(context, peer, services.GET_USER, timeout=PERSON_WAITS, userid=str(person_id))
    raw = replies.read_person(data)
    if replies.says_nobody(data):
        return None
    if not isinstance(raw, dict):
        raise BadReply(_("${peer} sent no person where one was asked for", peer=peer.name))
    sent = canonical_int(raw.get("id"))
    if sent != person_id:
        raise BadRecord(
            sent,
            _(
                "${peer} sent the person ${sent} instead of ${asked}",
                peer=peer.name,
                sent=str(sent),
                asked=str(person_id),
            ),
        )
    return raw


def new_picture(context: Context, peer: ServerPeer, record: UserRecord) -> NewPicture | None:
    """The person's picture if it is another one than their account has (protocol 6).

    Called outside of any transaction, as drawing takes a moment. A picture that cannot be taken is left
    out with a warning, and what is there stays.
    """
    columns = context.accounts.columns
    if record.picture is None or columns.read("picture") is None:
        return None
    number = int(record.picture)
    with context.reading() as session:
        links = read_links(session, peer.id, [record.id])
        account = read_accounts(session, context.accounts, links).get(record.id)
    if account is not None and account.values["picture"] == number:
        return None
    if number == 0:
        return NewPicture(0, {})
    reason = rules.misfit(columns, {"picture": number})
    try:
        if reason is None and record.pictures:
            return NewPicture(number, pictures.received(record.pictures))
    except pictures.PictureProblem as problem:
        reason = problem.text
    log.warning(
        "The picture of the person %s of %s was left out: %s",
        record.id,
        peer.url,
        reason or "it has no files",
    )
    return None


def keep_person(
    session: Session,
    context: Context,
    peer: ServerPeer,
    record: UserRecord,
    picture: NewPicture | None = None,
) -> Kept:
    """Create, take over, revive or update the account of a person who is not deleted.

    The standard profile fields and the picture only, never the user name, the ID number, custom profile
    fields, jobs, or the suspended flag of an account that is there (protocol 9); nothing of one that no server
    changes. Raises BadRecord for the server's guest, when a stranger has the person's user name, and when the id
    was another person's; Conflict when the person matches local accounts, none of which may be taken over, and when their
    account is deleted and one that no server changes.
    """
    if str(record.values["username"]).lower() == rules.GUEST:
        raise BadRecord(record.id, _("the server's guest is nobody in particular"))
    links = read_links(session, peer.id, [record.id])
    account = read_accounts(session, context.accounts, links).get(record.id)
    identity = Identity.of(record)
    if account is not None and identity.is_another_than(account.identity):
        if not account.is_deleted:
            raise BadRecord(record.id, SOMEBODY_ELSE)
        account = None
    notices: list[int] = []
    if account is None:
        # The row behind the link, if there is one, is gone or somebody else's: it is as if there were none (protocol 9).
        notices = drop_stale_links(session, context, peer.id, [record.id])
        key, more = _arrive(session, context, peer, record)
        notices += more
    else:
        key = account.key
        why = why_left_alone(account, context.options(session).client_protected_accounts)
        if why and account.is_deleted:
            # A host's table may keep a deleted account's rights.
            raise Conflict(_("the account is deleted, and ${why}", why=why))
        if account.is_deleted:
            _revive(session, context, peer, record, account)
        elif why:
            picture = None
        else:
            _update(session, context, record, account)
        if identity != account.identity:
            session.execute(
                update(Link)
                .where(Link.person_id == record.id, Link.server_id == peer.id)
                .values(person_username=identity.username, person_timecreated=identity.timecreated)
            )
    if picture is not None:
        pictures.put(session, context, key, picture.files, picture.number)
    return Kept(key, notices)


def _arrive(
    session: Session, context: Context, peer: ServerPeer, record: UserRecord
) -> tuple[int, list[int]]:
    """Link somebody who has no account here to a local one or a new one."""
    now = context.clock()
    match = migration.find_local(session, context, peer, [record.id], [[record]]).get(record.id)
    if match is None:
        _refuse_taken_name(session, context, peer, record, owner=None)
        made = rules.new_account(record, peer.idnumber, now)
        new = _fitting(context, record, {**STANDARD_FIELDS, **made})
        (key,) = context.accounts.insert(session, [new])
        notices = []
    elif match.outcome is Outcome.FOUND:
        key = match.accounts[0].key
        local = read_accounts(session, context.accounts, {record.id: Pointer(key)})[record.id]
        _update(session, context, record, local)
        # Whoever signed in to it by its password here may be somebody else than the person at the server.
        notices = sessions.end_of_accounts(session, context, [key], "sync")
        # No run will tell that the account changed hands.
        context.audit(
            session,
            f"peer:{peer.idnumber}",
            "account.taken_over",
            match.accounts[0].username,
            id=key,
            person=record.id,
            field=match.field,
        )
    else:
        raise Conflict(match.reason)
    username, timecreated = Identity.of(record)
    session.add(
        Link(
            person_id=record.id,
            server_id=peer.id,
            account_key=key,
            timecreated=now,
            person_username=username,
            person_timecreated=timecreated,
        )
    )
    session.flush()
    memberships.join_awaited(session, context, peer.id, {record.id: key})
    return key, notices


def _update(session: Session, context: Context, record: UserRecord, account: Linked) -> None:
    wanted = _fitting(context, record, rules.synced_values(record))
    changes = rules.differences(context.accounts.columns, account.values, wanted, account.stored)
    if changes:
        context.accounts.update(session, {account.key: {**changes, "timemodified": context.clock()}})


def _revive(
    session: Session, context: Context, peer: ServerPeer, record: UserRecord, account: Linked
) -> None:
    _refuse_taken_name(session, context, peer, record, owner=account.key)
    revived = rules.revived_account(
        record, peer.idnumber, context.clock(), stays_suspended=account.is_suspended_by_hand
    )
    context.accounts.update(session, {account.key: _fitting(context, record, revived)})
    context.accounts.forget_former(session, [account.key])
    session.execute(
        update(Link)
        .where(Link.person_id == record.id, Link.server_id == peer.id)
        .values(suspended_by_sync=False)
    )
    memberships.join_awaited(session, context, peer.id, {record.id: account.key})


def _fitting(context: Context, record: UserRecord, values: dict[str, object]) -> dict[str, object]:
    reason = rules.misfit(context.accounts.columns, values)
    if reason is not None:
        raise BadRecord(record.id, reason)
    return values


def _refuse_taken_name(
    session: Session, context: Context, peer: ServerPeer, record: UserRecord, *, owner: int | None
) -> None:
    username = rules.link_username(record.id, peer.idnumber)
    holder = context.accounts.by_username(session, [username]).get(username)
    if holder is not None and holder != owner:
        raise BadRecord(
            record.id, _("the user name ${username} belongs to another account here", username=username)
        )
