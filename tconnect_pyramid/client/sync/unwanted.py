"""What was approved to be removed and a new run does not want to remove any more: said, with the reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.linked import read_accounts, read_links
from tconnect_pyramid.client.sync.approvals import removals_of
from tconnect_pyramid.client.sync.guard import APPROVAL_SECONDS
from tconnect_pyramid.client.sync.history import HELD
from tconnect_pyramid.client.sync.plan import (
    COLLECTIONS,
    FRAMEWORK_KINDS,
    MEMBER,
    USERS,
    Action,
    Change,
    Plan,
)
from tconnect_pyramid.client.sync.plan_collections import PERSON, kept_as
from tconnect_pyramid.client.sync.plan_hierarchy import hierarchy_of
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.bulk import among
from tconnect_pyramid.models import Collection, Counterpart, Link, Run
from tconnect_pyramid.texts import Text, read
from tconnect_pyramid.texts import text as _


class Thing(NamedTuple):
    """What was to be removed: of what kind, the id at the server, and of a member the collection; as in a `Change`."""

    kind: str
    remote_id: int
    collection: str = ""


Planned = Mapping[Thing, Mapping[str, Change]]
"""What a plan says of things, by action."""

AGAIN = _("the server lists it again")
AGAIN_THEM = _("the server lists them again")
GONE = _("it is gone here already")
LEFT = _("they do not belong to it any more")
DELETED = _("deleted instead")
SUSPENDED = _("suspended instead")


def tell_unwanted(session: Session, context: Context, server_id: int, plan: Plan) -> None:
    """Add to a plan what of a held run is approved that it does not want any more, and why.

    Nothing where no approval waits to be used: it costs a statement then.
    """
    run = session.scalar(
        select(Run).where(
            Run.server_id == server_id,
            Run.kind == plan.kind,
            Run.state == HELD,
            Run.approved > context.clock() - APPROVAL_SECONDS,
        )
    )
    if run is None:
        return
    wanted = {of: frozenset(ids) for of, ids in plan.removals.items()}
    unwanted = [
        (Thing(of.kind, remote_id, of.collection), line)
        for of, remote_id, line in removals_of(session, run)
        if remote_id not in wanted.get(of, ())
    ]
    things = {thing for thing, _line in unwanted}
    planned = _said_of(plan, things)
    reasons = _why_silent(session, context, server_id, plan.kind, things - planned.keys())
    for thing, line in unwanted:
        why = _why(thing, planned) or reasons.get(thing) or (AGAIN_THEM if thing.kind == MEMBER else AGAIN)
        plan.changes.append(
            Change(
                Action.UNWANTED,
                thing.kind,
                thing.remote_id,
                line.account_key,
                line.subject,
                reason=_told(line.action, read(line.detail), why),
                collection=thing.collection,
            )
        )


def _said_of(plan: Plan, things: AbstractSet[Thing]) -> Planned:
    """What a plan says of these, and of the collections and people that memberships are of."""
    about = {*things}
    for thing in things:
        about.update(_sides(thing))
    planned: dict[Thing, dict[str, Change]] = defaultdict(dict)
    if about:
        for change in plan.changes:
            thing = Thing(change.kind, change.remote_id or 0, change.collection)
            if thing in about:
                planned[thing][change.action] = change
    return dict(planned)


def _sides(thing: Thing) -> Iterator[Thing]:
    """The collection and the person that a membership is of."""
    if thing.kind == MEMBER:
        kind, _blank, remote_id = thing.collection.partition(" ")
        yield Thing(kind, int(remote_id))
        yield Thing(PERSON, thing.remote_id)


def _why(thing: Thing, planned: Planned) -> str:
    """Why something is not wanted any more, as far as the plan says; else empty."""
    said = planned.get(thing, {})
    if Action.DELETED in said:
        return DELETED
    if Action.SUSPENDED in said:
        return SUSPENDED
    if Action.SKIPPED in said:
        return said[Action.SKIPPED].reason
    for side in _sides(thing):
        said = planned.get(side, {})
        if Action.DELETED in said:
            return _("the whole collection is deleted instead")
        if Action.SKIPPED in said:
            return said[Action.SKIPPED].reason
    return ""


def _why_silent(
    session: Session, context: Context, server_id: int, kind: str, things: AbstractSet[Thing]
) -> dict[Thing, str]:
    """Why the plan says nothing of something, where that is not because it is listed again."""
    if kind == USERS:
        return _why_not_removed(session, context, server_id, things)
    members = {thing for thing in things if thing.kind == MEMBER}
    there = {*_members_there(session, context, server_id, members)}
    there.update(_things_there(session, server_id, kind, things - members))
    return {thing: LEFT if thing.kind == MEMBER else GONE for thing in things - there}


def _things_there(session: Session, server_id: int, kind: str, things: AbstractSet[Thing]) -> Iterator[Thing]:
    """Those collections, frameworks and items that are here."""
    of = Collection if kind == COLLECTIONS else Counterpart
    names = {} if kind == COLLECTIONS else {hierarchy_of(kind).framework_kind: FRAMEWORK_KINDS[kind]}
    for some in in_batches(sorted({thing.remote_id for thing in things})):
        rows = session.execute(
            select(of.kind, of.remote_id).where(among(of.remote_id, some), of.server_id == server_id)
        )
        yield from (Thing(names.get(kept, kept), remote_id) for kept, remote_id in rows)


def _members_there(
    session: Session, context: Context, server_id: int, members: Iterable[Thing]
) -> Iterator[Thing]:
    """Those members who still belong to their collections."""
    kept = kept_as(context)
    people: dict[str, list[int]] = defaultdict(list)
    for member in sorted(members):
        people[member.collection].append(member.remote_id)
    for key, listed in people.items():
        kind, _blank, remote_id = key.partition(" ")
        here = (
            select(Link.person_id)
            .join(kept.members, kept.members.account_key == Link.account_key)
            .join(Collection, Collection.local_id == kept.owner)
            .where(
                Collection.kind == kind,
                Collection.remote_id == int(remote_id),
                Collection.server_id == server_id,
                Link.server_id == server_id,
            )
        )
        for some in in_batches(listed):
            found = session.scalars(here.where(among(Link.person_id, some)))
            yield from (Thing(MEMBER, person, key) for person in found)


def _why_not_removed(
    session: Session, context: Context, server_id: int, people: AbstractSet[Thing]
) -> dict[Thing, str]:
    reasons: dict[Thing, str] = {}
    keeps = context.options(session).client_removed_person == "keep"
    for some in in_batches(sorted(people)):
        links = read_links(session, server_id, [thing.remote_id for thing in some])
        accounts = read_accounts(session, context.accounts, links)
        for thing in some:
            account = accounts.get(thing.remote_id)
            if account is None:
                reasons[thing] = _("the account is gone")
            elif account.is_deleted:
                reasons[thing] = _("the account is deleted already")
            elif account.is_suspended:
                reasons[thing] = _("the account is suspended already")
            elif keeps:
                reasons[thing] = _("the server lists them again, or client.removed_person keeps them now")
            else:
                reasons[thing] = AGAIN_THEM
    return reasons


def _told(action: str, collection: str, why: str) -> Text:
    if action == Action.REMOVED:
        return _(
            "approved to leave ${collection}, and not wanted any more: ${why}", collection=collection, why=why
        )
    if action == Action.DELETED:
        return _("approved to be deleted, and not wanted any more: ${why}", why=why)
    return _("approved to be suspended, and not wanted any more: ${why}", why=why)
