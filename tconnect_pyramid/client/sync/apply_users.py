"""Doing what a plan of the users sync says, set by set, in the caller's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import delete, insert, update
from sqlalchemy.orm import Session

from tconnect_pyramid import sessions
from tconnect_pyramid.client import jobs, memberships, migration, profiles
from tconnect_pyramid.client.linked import drop_stale_links
from tconnect_pyramid.client.sync.history import Applied
from tconnect_pyramid.client.sync.plan import REMOVALS, Action, Change
from tconnect_pyramid.client.sync.plan_users import UsersPlan
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.models import Link
from tconnect_pyramid.peers import ServerPeer

IN_PLACE = frozenset({Action.LINKED, Action.UPDATED, Action.SUSPENDED, Action.UNSUSPENDED, Action.UNDELETED})


def apply_users(
    session: Session, context: Context, peer: ServerPeer, plan: UsersPlan, run_id: int
) -> Applied:
    """Change accounts, links, custom profile fields and jobs.

    Who is suspended or deleted loses their sign-ins, and so does an account that is taken over: whoever
    signed in to it by its password here may be somebody else than the person at the server.
    """
    notices = drop_stale_links(session, context, peer.id, plan.stale_links)
    taken = _keys_by_person(plan, Action.LINKED)
    migration.refuse_if_changed(session, context, taken.values())
    removed = [change for change in plan.changes if change.action in REMOVALS]
    notices += sessions.end_of_accounts(session, context, [*_keys(removed), *taken.values()], "sync")
    _write_in_place(session, context, plan.changes)
    _delete(session, context, peer, [change for change in removed if change.action is Action.DELETED])
    _link(session, context, peer, taken, plan.suspended_by_sync, created_by_run=None)
    created = _create(session, context, peer, plan, run_id)
    linked_now = {**created, **taken}
    _keep_flags(session, peer, {p: v for p, v in plan.suspended_by_sync.items() if p not in linked_now})
    returned = _keys_by_person(plan, Action.UNDELETED)
    context.accounts.forget_former(session, returned.values())
    memberships.join_awaited(session, context, peer.id, {**linked_now, **returned})
    keys = {**linked_now, **returned, **_keys_by_person(plan, Action.UPDATED)}
    profiles.write(session, {keys[person]: changes for person, changes in plan.fields.items()})
    jobs.write(session, peer.id, {keys[person]: changes for person, changes in plan.jobs.items()})
    return Applied(notices, created)


def _keys(changes: Iterable[Change]) -> list[int]:
    return [change.account_key for change in changes if change.account_key is not None]


def _keys_by_person(plan: UsersPlan, action: Action) -> dict[int, int]:
    return {
        change.remote_id: change.account_key
        for change in plan.changes
        if change.action is action and change.remote_id is not None and change.account_key is not None
    }


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
    wanted = [change for change in plan.changes if change.action is Action.CREATED]
    keys = context.accounts.insert(session, [change.values for change in wanted])
    people = [change.remote_id for change in wanted if change.remote_id is not None]
    created = dict(zip(people, keys, strict=True))
    _link(session, context, peer, created, plan.suspended_by_sync, created_by_run=run_id)
    return created


def _link(
    session: Session,
    context: Context,
    peer: ServerPeer,
    keys: Mapping[int, int],
    suspended_by_sync: Mapping[int, bool],
    *,
    created_by_run: int | None,
) -> None:
    for people in in_batches(keys):
        session.execute(
            insert(Link),
            [
                {
                    "person_id": person,
                    "server_id": peer.id,
                    "account_key": keys[person],
                    "suspended_by_sync": suspended_by_sync.get(person, False),
                    "created_by_run": created_by_run,
                    "timecreated": context.clock(),
                }
                for person in people
            ],
        )


def _keep_flags(session: Session, peer: ServerPeer, flags: Mapping[int, bool]) -> None:
    for value in (True, False):
        for some in in_batches([person for person, flag in flags.items() if flag is value]):
            session.execute(
                update(Link)
                .where(Link.person_id.in_(some), Link.server_id == peer.id)
                .values(suspended_by_sync=value)
            )
