"""Doing what a plan of the users sync says, set by set, in the caller's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, insert, update
from sqlalchemy.orm import Session

from tconnect_pyramid import sessions
from tconnect_pyramid.client import memberships
from tconnect_pyramid.client.sync.history import Applied
from tconnect_pyramid.client.sync.plan import REMOVALS, Action, Change
from tconnect_pyramid.client.sync.plan_users import UsersPlan
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.models import Link
from tconnect_pyramid.peers import ServerPeer

IN_PLACE = frozenset({Action.UPDATED, Action.SUSPENDED, Action.UNSUSPENDED, Action.UNDELETED})


def apply_users(
    session: Session, context: Context, peer: ServerPeer, plan: UsersPlan, run_id: int
) -> Applied:
    """Change accounts and links; who is suspended or deleted loses their sign-ins."""
    _drop_links(session, peer, plan.stale_links)
    removed = [change for change in plan.changes if change.action in REMOVALS]
    notices = sessions.end_of_accounts(session, context, _keys(removed), "sync")
    _write_in_place(session, context, plan.changes)
    _delete(session, context, peer, [change for change in removed if change.action is Action.DELETED])
    created = _create(session, context, peer, plan, run_id)
    _keep_flags(session, peer, {p: v for p, v in plan.suspended_by_sync.items() if p not in created})
    returned = {
        change.remote_id: change.account_key
        for change in plan.changes
        if change.action is Action.UNDELETED and change.remote_id and change.account_key is not None
    }
    memberships.join_awaited(session, context, peer.id, {**created, **returned})
    return Applied(notices, created)


def _keys(changes: Iterable[Change]) -> list[int]:
    return [change.account_key for change in changes if change.account_key is not None]


def _drop_links(session: Session, peer: ServerPeer, people: Iterable[int]) -> None:
    for some in in_batches(people):
        session.execute(delete(Link).where(Link.person_id.in_(some), Link.server_id == peer.id))


def _write_in_place(session: Session, context: Context, changes: Iterable[Change]) -> None:
    values: dict[int, dict[str, Any]] = defaultdict(dict)
    for change in changes:
        if change.action in IN_PLACE and change.account_key is not None:
            values[change.account_key].update(change.values)
    context.accounts.update(session, values)


def _delete(session: Session, context: Context, peer: ServerPeer, changes: list[Change]) -> None:
    keys = _keys(changes)
    context.accounts.update(session, {key: {"timemodified": context.clock()} for key in keys})
    context.accounts.mark_deleted(session, keys)
    if not context.accounts.columns.keeps("deleted"):
        # The rows are gone: a host may give their keys to somebody else.
        _drop_links(session, peer, [change.remote_id for change in changes if change.remote_id])


def _create(
    session: Session, context: Context, peer: ServerPeer, plan: UsersPlan, run_id: int
) -> dict[int, int]:
    created: dict[int, int] = {}
    wanted = [change for change in plan.changes if change.action is Action.CREATED]
    for some in in_batches(wanted):
        keys = context.accounts.insert(session, [change.values for change in some])
        people = [change.remote_id for change in some if change.remote_id is not None]
        made = dict(zip(people, keys, strict=True))
        session.execute(
            insert(Link),
            [
                {
                    "person_id": person,
                    "server_id": peer.id,
                    "account_key": key,
                    "suspended_by_sync": plan.suspended_by_sync[person],
                    "created_by_run": run_id,
                    "timecreated": context.clock(),
                }
                for person, key in made.items()
            ],
        )
        created.update(made)
    return created


def _keep_flags(session: Session, peer: ServerPeer, flags: dict[int, bool]) -> None:
    for value in (True, False):
        for some in in_batches([person for person, flag in flags.items() if flag is value]):
            session.execute(
                update(Link)
                .where(Link.person_id.in_(some), Link.server_id == peer.id)
                .values(suspended_by_sync=value)
            )
