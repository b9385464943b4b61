"""What a run must not do without an administrator's word."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.servers import guard_of
from tconnect_pyramid.client.sync.ids import Ids
from tconnect_pyramid.client.sync.plan import (
    COLLECTIONS,
    ITEM_KINDS,
    MEMBER,
    ORGANISATIONS,
    POSITIONS,
    USERS,
    Action,
    Plan,
    RemovalOf,
)
from tconnect_pyramid.client.sync.plan_collections import CollectionsPlan, kept_as
from tconnect_pyramid.client.sync.plan_hierarchy import hierarchy_of
from tconnect_pyramid.client.sync.plan_members import count_members
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.nouns import MANY
from tconnect_pyramid.models import Approval, Counterpart, Link
from tconnect_pyramid.settings import Guard
from tconnect_pyramid.texts import Text, plural
from tconnect_pyramid.texts import text as _

APPROVAL_SECONDS = 24 * 3600

_THINGS: Mapping[str, Text] = {
    USERS: _("people"),
    COLLECTIONS: _("collections"),
    POSITIONS: MANY["position"],
    ORGANISATIONS: MANY["organisation"],
}
"""What the server has sent none of, by the kind of the run."""


def objection(session: Session, context: Context, server_id: int, plan: Plan) -> str:
    """Why the run is to be held; empty when it may go on.

    An empty list makes everybody missing, and what removes more than a guard's number and more than its share
    may be a mistake too (protocol 9): what such a run would remove must have been approved, each by itself,
    within the last 24 hours. What did not come from the server goes along unasked.
    """
    approved = _approved(session, server_id, context.clock())
    asked = {of: number for of, ids in plan.removals.items() if (number := _not_among(ids, approved.get(of)))}
    wanted = {of: len(ids) for of, ids in plan.removals.items()}
    removed = sum(asked.values())
    known = sum(wanted.values()) - removed
    if plan.lists_nobody and asked:
        return _held(
            _(
                "The server sent no ${things} at all, so ${number} would be ${what} here.",
                things=_THINGS[plan.kind],
                number=removed,
                what=_actions(asked),
            ),
            known,
        )
    if isinstance(plan, CollectionsPlan):
        leaving = _members_leaving(plan, asked, approved)
        return _too_many(
            _("members"),
            guard_of(session, context, server_id, "guard.members"),
            leaving,
            _members_leaving(plan, wanted, {}) - leaving,
            lambda: sum(count_members(session, kept_as(context), server_id).values()),
        )
    if plan.kind in ITEM_KINDS:
        counted = _items_here(plan.kind, server_id)
        return _too_many(
            _THINGS[plan.kind],
            guard_of(session, context, server_id, "guard.items"),
            removed,
            known,
            lambda: session.scalar(counted) or 0,
        )
    counted = _people_here(context, server_id)
    return _too_many(
        _THINGS[USERS],
        guard_of(session, context, server_id, "guard.people"),
        removed,
        known,
        lambda: session.scalar(counted) or 0,
    )


def _too_many(things: Text, guard: Guard, removed: int, approved: int, count: Callable[[], int]) -> str:
    # Counting what is here is needed for large numbers only.
    if removed <= guard.number:
        return ""
    here = count()
    if removed * 100 <= guard.share * here:
        return ""
    return _held(
        _(
            "${removed} of ${here} ${things} that came from the server would be removed here, more than ${number} "
            "and more than ${share} %.",
            removed=removed,
            here=here,
            things=things,
            number=guard.number,
            share=guard.share,
        ),
        approved,
    )


def _held(why: Text, approved: int) -> Text:
    if approved:
        # The lines of the run are about these as well.
        why = plural(
            "${why} Besides, ${number} is approved already.",
            "${why} Besides, ${number} are approved already.",
            approved,
            why=why,
        )
    return _(
        "${why} Nothing was changed. Approve this run if that is meant, or reject it.",
        why=why,
    )


def _people_here(context: Context, server_id: int) -> Select[int]:
    accounts = context.accounts
    return (
        select(func.count())
        .select_from(Link)
        .join(accounts.columns.mapped_class, accounts.key == Link.account_key)
        .where(Link.server_id == server_id, accounts.not_deleted())
    )


def _items_here(kind: str, server_id: int) -> Select[int]:
    hierarchy = hierarchy_of(kind)
    return (
        select(func.count())
        .select_from(Counterpart)
        .where(
            Counterpart.server_id == server_id,
            Counterpart.kind.in_([hierarchy.kind, hierarchy.framework_kind]),
        )
    )


def _members_leaving(
    plan: CollectionsPlan, asked: Mapping[RemovalOf, int], approved: Mapping[RemovalOf, Ids]
) -> int:
    """How many memberships end that nobody has approved, those of deleted collections included."""
    leaving = sum(number for of, number in asked.items() if of.kind == MEMBER)
    return leaving + sum(
        it.members
        for it in plan.gone
        if _not_among([it.known.remote_id], approved.get(RemovalOf(it.known.kind, Action.DELETED)))
    )


def _not_among(ids: Collection[int], approved: Ids | None) -> int:
    """How many of these ids are not approved."""
    return len(ids) if approved is None else sum(approved.find(id_) is None for id_ in ids)


def _approved(session: Session, server_id: int, now: int) -> dict[RemovalOf, Ids]:
    """What may be removed, by what it is of: ids at the server."""
    rows = session.execute(
        select(Approval.kind, Approval.action, Approval.collection, Approval.remote_id)
        .where(Approval.server_id == server_id, Approval.expires > now)
        .order_by(Approval.remote_id)
    )
    found: defaultdict[RemovalOf, array[int]] = defaultdict(lambda: array("q"))
    for *of, remote_id in rows:
        found[RemovalOf(*of)].append(remote_id)
    return {of: Ids(ids) for of, ids in found.items()}


def _actions(removals: Iterable[RemovalOf]) -> Text:
    actions = {of.action for of in removals}
    if len(actions) > 1:
        return _("deleted or suspended")
    return _("deleted") if Action.DELETED in actions else _("suspended")
