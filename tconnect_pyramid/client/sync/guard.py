"""What a run must not do without an administrator's word."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.servers import guard_of
from tconnect_pyramid.client.sync.plan import (
    COLLECTIONS,
    ITEM_KINDS,
    ORGANISATIONS,
    POSITIONS,
    REMOVALS,
    USERS,
    Action,
    Change,
    Plan,
    members_removed,
)
from tconnect_pyramid.client.sync.plan_collections import CollectionsPlan, kept_as
from tconnect_pyramid.client.sync.plan_hierarchy import hierarchy_of
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.nouns import MANY
from tconnect_pyramid.models import Approval, Collection, Counterpart, Link
from tconnect_pyramid.settings import Guard
from tconnect_pyramid.texts import Text
from tconnect_pyramid.texts import text as _

APPROVAL_SECONDS = 24 * 3600

Removal = tuple[int | None, str, str]
"""The id at the server, what it is the id of, and the action."""

_THINGS: Mapping[str, Text] = {
    USERS: _("people"),
    COLLECTIONS: _("collections"),
    POSITIONS: MANY["position"],
    ORGANISATIONS: MANY["organisation"],
}
"""What the server has sent none of, by the kind of the run."""

LOSES = "loses "
"""Begins the action of an approval that a collection loses members; the most that it may lose stands behind it."""


def objection(session: Session, context: Context, server_id: int, plan: Plan) -> str:
    """Why the run is to be held; empty when it may go on.

    An empty list makes everybody missing, and what removes more than a guard's number and more than its share
    may be a mistake too (protocol 9): what such a run would remove must have been approved, each by itself,
    within the last 24 hours. What did not come from the server goes along unasked.
    """
    approved = _approved(session, server_id, context.clock())
    removals = [
        change for change in plan.removals if change.remote_id is not None and removal(change) not in approved
    ]
    if plan.lists_nobody and removals:
        return _held(
            _(
                "The server sent no ${things} at all, so ${number} would be ${what} here.",
                things=_THINGS[plan.kind],
                number=len(removals),
                what=_actions(removals),
            )
        )
    if isinstance(plan, CollectionsPlan):
        removed = _members_leaving(session, context, server_id, plan, approved)
        return _too_many(
            _("members"),
            guard_of(session, context, server_id, "guard.members"),
            removed,
            lambda: sum(_members_here(session, context, server_id).values()),
        )
    if plan.kind in ITEM_KINDS:
        counted = _items_here(plan.kind, server_id)
        return _too_many(
            _THINGS[plan.kind],
            guard_of(session, context, server_id, "guard.items"),
            len(removals),
            lambda: session.scalar(counted) or 0,
        )
    counted = _people_here(context, server_id)
    return _too_many(
        _THINGS[USERS],
        guard_of(session, context, server_id, "guard.people"),
        len(removals),
        lambda: session.scalar(counted) or 0,
    )


def removal(change: Change) -> Removal:
    """What an approval of a change is about."""
    return (change.remote_id, change.kind, str(change.action))


def approved_by(run_kind: str, action: str, detail: str) -> str | None:
    """The action that is approved with a line of a held run; None for a line that removes nothing."""
    if action in REMOVALS:
        return action
    if run_kind == COLLECTIONS and action == Action.UPDATED:
        removed = members_removed(detail)
        return f"{LOSES}{removed}" if removed else None
    return None


def _too_many(things: Text, guard: Guard, removed: int, count: Callable[[], int]) -> str:
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
        )
    )


def _held(why: Text) -> Text:
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


def _members_here(session: Session, context: Context, server_id: int) -> dict[int, int]:
    """How many people of the server belong to each audience of its collections, by the audience's id."""
    kept = kept_as(context)
    ours = select(Collection.local_id).where(Collection.server_id == server_id)
    rows = session.execute(
        select(kept.owner, func.count())
        .join(Link, Link.account_key == kept.members.account_key)
        .where(kept.owner.in_(ours), Link.server_id == server_id)
        .group_by(kept.owner)
    )
    return {owner: number for owner, number in rows}  # noqa: C416 - the rows are no pairs to mypy


def _members_leaving(
    session: Session,
    context: Context,
    server_id: int,
    plan: CollectionsPlan,
    approved: set[Removal],
) -> int:
    """How many memberships end that nobody has approved, those of deleted collections included."""
    allowed = {
        (remote_id, kind): int(action.removeprefix(LOSES))
        for remote_id, kind, action in sorted(approved, key=_by_number)
        if action.startswith(LOSES)
    }
    leaving = sum(
        len(target.leave)
        for target in plan.targets
        if len(target.leave) > allowed.get((target.remote_id, target.kind), 0)
    )
    gone = [it for it in plan.gone if (it.remote_id, it.kind, str(Action.DELETED)) not in approved]
    if gone:
        here = _members_here(session, context, server_id)
        leaving += sum(here.get(it.local_id, 0) for it in gone if it.row is not None)
    return leaving


def _by_number(approval: Removal) -> int:
    # Of several for one collection the largest comes last, and so counts.
    action = approval[2]
    return int(action.removeprefix(LOSES)) if action.startswith(LOSES) else 0


def _approved(session: Session, server_id: int, now: int) -> set[Removal]:
    rows = session.execute(
        select(Approval.remote_id, Approval.kind, Approval.action).where(
            Approval.server_id == server_id, Approval.expires > now
        )
    )
    return {(remote_id, kind, action) for remote_id, kind, action in rows}


def _actions(removals: list[Change]) -> Text:
    actions = {change.action for change in removals}
    if len(actions) > 1:
        return _("deleted or suspended")
    return _("deleted") if Action.DELETED in actions else _("suspended")
