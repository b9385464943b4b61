"""One person of a server, kept as a local account: what single sign-on and a profile refresh do."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from tconnect_pyramid.client import accounts as rules
from tconnect_pyramid.client import memberships
from tconnect_pyramid.client.linked import Linked, read_accounts, read_links
from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import BadRecord
from tconnect_pyramid.models import Link
from tconnect_pyramid.peers import ServerPeer
from tconnect_pyramid.protocol.users import UserRecord


def keep_person(session: Session, context: Context, peer: ServerPeer, record: UserRecord) -> int:
    """Create, revive or update the account of a person who is not deleted; gives its key.

    The standard profile fields only, never the user name, the ID number or the suspended flag of an
    account that is there (protocol 9). Raises BadRecord for the server's guest, and when a stranger has
    the person's user name.
    """
    if str(record.values["username"]).lower() == rules.GUEST:
        raise BadRecord(record.id, "the server's guest is nobody in particular")
    now = context.clock()
    links = read_links(session, peer.id, [record.id])
    account = read_accounts(session, context.accounts, links).get(record.id)
    if account is not None and not account.is_deleted:
        _update(session, context, record, account)
        return account.key
    _refuse_taken_name(session, context, peer, record, owner=None if account is None else account.key)
    if account is not None:
        _revive(session, context, peer, record, account)
        return account.key
    # The row behind the link is gone: a new account is made (protocol 9).
    session.execute(delete(Link).where(Link.person_id == record.id, Link.server_id == peer.id))
    new = _fitting(context, record, rules.new_account(record, peer.idnumber, now))
    (key,) = context.accounts.insert(session, [new])
    session.add(Link(person_id=record.id, server_id=peer.id, account_key=key, timecreated=now))
    session.flush()
    memberships.join_awaited(session, context, peer.id, {record.id: key})
    return key


def _update(session: Session, context: Context, record: UserRecord, account: Linked) -> None:
    wanted = _fitting(context, record, rules.signed_in_values(record))
    changes = rules.differences(context.accounts.columns, account.values, wanted, account.stored)
    if changes:
        context.accounts.update(session, {account.key: {**changes, "timemodified": context.clock()}})


def _revive(
    session: Session, context: Context, peer: ServerPeer, record: UserRecord, account: Linked
) -> None:
    revived = rules.revived_account(
        record, peer.idnumber, context.clock(), stays_suspended=account.is_suspended_by_hand
    )
    context.accounts.update(session, {account.key: _fitting(context, record, revived)})
    session.execute(
        update(Link)
        .where(Link.person_id == record.id, Link.server_id == peer.id)
        .values(suspended_by_sync=False)
    )
    memberships.join_awaited(session, context, peer.id, {record.id: account.key})


def _fitting(context: Context, record: UserRecord, values: dict[str, Any]) -> dict[str, Any]:
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
        raise BadRecord(record.id, f"the user name {username} belongs to another account here")
