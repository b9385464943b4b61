"""One person of a server, kept as a local account: what single sign-on and a profile refresh do."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from tconnect_pyramid.client import accounts as rules
from tconnect_pyramid.client import memberships
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
    link = session.get(Link, (record.id, peer.id))
    if link is not None:
        current = context.accounts.fetch(session, [link.account_key]).get(link.account_key)
        if current is not None and not current["deleted"]:
            wanted = _fitting(context, record, rules.signed_in_values(record))
            changes = rules.differences(context.accounts.columns, current, wanted)
            if changes:
                context.accounts.update(session, {link.account_key: {**changes, "timemodified": now}})
            return link.account_key
        _refuse_taken_name(session, context, peer, record, owner=link.account_key)
        if current is not None:
            by_hand = bool(current["suspended"]) and not link.suspended_by_sync
            revived = rules.revived_account(record, peer.idnumber, now, stays_suspended=by_hand)
            link.suspended_by_sync = False
            context.accounts.update(session, {link.account_key: _fitting(context, record, revived)})
            memberships.join_awaited(session, context, peer.id, {record.id: link.account_key})
            return link.account_key
        session.execute(delete(Link).where(Link.person_id == record.id, Link.server_id == peer.id))
    else:
        _refuse_taken_name(session, context, peer, record, owner=None)
    new = _fitting(context, record, rules.new_account(record, peer.idnumber, now))
    (key,) = context.accounts.insert(session, [new])
    session.add(Link(person_id=record.id, server_id=peer.id, account_key=key, timecreated=now))
    session.flush()
    memberships.join_awaited(session, context, peer.id, {record.id: key})
    return key


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
