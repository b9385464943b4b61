"""What an administrator has approved of a held run: for 24 hours, whichever run comes next; and what became of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection as Group
from collections.abc import Iterator, Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.linked import read_accounts, read_links
from tconnect_pyramid.client.sync.guard import APPROVAL_SECONDS, LOSES, approved_by, removal
from tconnect_pyramid.client.sync.history import HELD
from tconnect_pyramid.client.sync.plan import (
    COLLECTIONS,
    FRAMEWORK_KINDS,
    ITEM_KINDS,
    USERS,
    Action,
    Change,
    Plan,
    kind_of_line,
    members_removed,
)
from tconnect_pyramid.client.sync.plan_collections import CollectionsPlan
from tconnect_pyramid.client.sync.plan_hierarchy import hierarchy_of
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.models import Approval, Collection, Counterpart, Run, RunLine
from tconnect_pyramid.protocol.collections import KINDS as SETS
from tconnect_pyramid.texts import Text, read
from tconnect_pyramid.texts import text as _

Thing = tuple[int, str]
"""The id at the server, and what it is the id of."""

AGAIN = _("the server lists it again")
GONE = _("it is gone here already")
DELETED = _("deleted instead")
SUSPENDED = _("suspended instead")


def approve(session: Session, run: Run, *, actor: str, now: int) -> int:
    """Allow what a held run would remove, and note with it who did so; gives how many removals that are."""
    wanted: dict[tuple[str, str], set[int]] = defaultdict(set)
    for (remote_id, kind), action, _line in _removals(session, run):
        wanted[kind, action].add(remote_id)
    for (kind, action), remote_ids in wanted.items():
        for some in in_batches(sorted(remote_ids)):
            # Approved before: the 24 hours begin anew.
            _forget(session, run.server_id, kind, action, some)
            session.execute(
                insert(Approval),
                [
                    {
                        "remote_id": remote_id,
                        "kind": kind,
                        "action": action,
                        "server_id": run.server_id,
                        "expires": now + APPROVAL_SECONDS,
                    }
                    for remote_id in some
                ],
            )
    run.approved_by, run.approved = actor, now
    return sum(len(remote_ids) for remote_ids in wanted.values())


def withdraw(session: Session, run: Run) -> None:
    """Take back whatever was approved of this kind with this server, by this run or one that it took the place of."""
    session.execute(
        delete(Approval).where(Approval.server_id == run.server_id, Approval.kind.in_(_kinds(run.kind)))
    )
    run.approved_by, run.approved = None, None


def use_up(session: Session, server_id: int, plan: Plan) -> None:
    """Forget what was approved of that which a plan has just done: each removal is approved once.

    Else as many others could leave a collection again, and what was undone could be done again, without a word.
    """
    approved = session.execute(
        select(Approval.remote_id, Approval.kind, Approval.action).where(
            Approval.server_id == server_id, Approval.kind.in_(_kinds(plan.kind))
        )
    ).all()
    if not approved:
        return
    done = {removal(change) for change in plan.removals}
    losing: set[Thing] = set()
    if isinstance(plan, CollectionsPlan):
        losing = {(target.remote_id, target.kind) for target in plan.targets if target.leave}
    used: dict[tuple[str, str], list[int]] = defaultdict(list)
    for remote_id, kind, action in approved:
        if (remote_id, kind, action) in done or (action.startswith(LOSES) and (remote_id, kind) in losing):
            used[kind, action].append(remote_id)
    for (kind, action), remote_ids in used.items():
        _forget(session, server_id, kind, action, remote_ids)


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
    approved = [*_removals(session, run)]
    about = {thing for thing, _action, _line in approved}
    planned: dict[Thing, list[Change]] = defaultdict(list)
    for change in plan.changes:
        if change.remote_id is not None and (change.remote_id, change.kind) in about:
            planned[change.remote_id, change.kind].append(change)
    unwanted = [each for each in approved if not _is_wanted(each[1], planned[each[0]])]
    silent = {thing for thing, _action, _line in unwanted if not planned[thing]}
    reasons = _why_silent(session, context, server_id, plan.kind, silent)
    for thing, action, line in unwanted:
        why = _why(action, planned[thing]) or reasons.get(thing) or AGAIN
        plan.changes.append(
            Change(
                Action.UNWANTED,
                thing[1],
                thing[0],
                line.account_key,
                line.subject,
                reason=_told(action, why),
            )
        )


def _removals(session: Session, run: Run) -> Iterator[tuple[Thing, str, RunLine]]:
    """What approving a run is about: of what, the action that is approved, and the line that says so."""
    for line in session.scalars(select(RunLine).where(RunLine.run_id == run.id).order_by(RunLine.id)):
        action = approved_by(run.kind, line.action, read(line.detail))
        if action is not None and line.remote_id is not None:
            yield (line.remote_id, kind_of_line(run.kind, line.subject)), action, line


def _forget(session: Session, server_id: int, kind: str, action: str, remote_ids: Group[int]) -> None:
    for some in in_batches(remote_ids):
        session.execute(
            delete(Approval).where(
                Approval.remote_id.in_(some),
                Approval.kind == kind,
                Approval.action == action,
                Approval.server_id == server_id,
            )
        )


def _kinds(run_kind: str) -> Sequence[str]:
    if run_kind == COLLECTIONS:
        return SETS
    if run_kind in ITEM_KINDS:
        return (ITEM_KINDS[run_kind], FRAMEWORK_KINDS[run_kind])
    return (run_kind,)


def _leaving(changes: Sequence[Change]) -> int:
    return max((members_removed(change.detail) for change in changes), default=0)


def _is_wanted(action: str, planned: Sequence[Change]) -> bool:
    if action.startswith(LOSES):
        return _leaving(planned) >= int(action.removeprefix(LOSES))
    return any(change.action == action for change in planned)


def _why(action: str, planned: Sequence[Change]) -> str:
    """Why something is not wanted any more, as far as the plan says."""
    actions = {change.action: change for change in planned}
    if Action.DELETED in actions:
        return DELETED
    if Action.SUSPENDED in actions:
        return SUSPENDED
    if action.startswith(LOSES) and actions:
        leaving = str(_leaving(planned))
        return _("${number} are to leave now", number=leaving)
    return actions[Action.SKIPPED].reason if Action.SKIPPED in actions else ""


def _why_silent(
    session: Session, context: Context, server_id: int, kind: str, things: Group[Thing]
) -> dict[Thing, str]:
    """Why the plan says nothing of something, where that is not because it is listed again."""
    if kind == USERS:
        return _why_not_removed(session, context, server_id, things)
    there: set[Thing] = set()
    for some in in_batches(sorted({remote_id for remote_id, _kind in things})):
        if kind == COLLECTIONS:
            rows = session.execute(
                select(Collection.remote_id, Collection.kind).where(
                    Collection.remote_id.in_(some), Collection.server_id == server_id
                )
            )
        else:
            rows = session.execute(
                select(Counterpart.remote_id, Counterpart.kind).where(
                    Counterpart.remote_id.in_(some), Counterpart.server_id == server_id
                )
            )
        there.update((remote_id, kept) for remote_id, kept in rows)
    names = {} if kind == COLLECTIONS else {FRAMEWORK_KINDS[kind]: hierarchy_of(kind).framework_kind}
    return {thing: GONE for thing in things if (thing[0], names.get(thing[1], thing[1])) not in there}


def _why_not_removed(
    session: Session, context: Context, server_id: int, people: Group[Thing]
) -> dict[Thing, str]:
    reasons: dict[Thing, str] = {}
    keeps = context.options(session).client_removed_person == "keep"
    for some in in_batches(sorted(people)):
        links = read_links(session, server_id, [person for person, _kind in some])
        accounts = read_accounts(session, context.accounts, links)
        for thing in some:
            account = accounts.get(thing[0])
            if account is None:
                reasons[thing] = _("the account is gone")
            elif account.is_deleted:
                reasons[thing] = _("the account is deleted already")
            elif account.is_suspended:
                reasons[thing] = _("the account is suspended already")
            elif keeps:
                reasons[thing] = _("the server lists them again, or client.removed_person keeps them now")
            else:
                reasons[thing] = _("the server lists them again")
    return reasons


def _told(action: str, why: str) -> Text:
    if action.startswith(LOSES):
        return _(
            "approved to lose ${number} members, and not wanted any more: ${why}",
            number=action.removeprefix(LOSES),
            why=why,
        )
    if action == Action.DELETED:
        return _("approved to be deleted, and not wanted any more: ${why}", why=why)
    return _("approved to be suspended, and not wanted any more: ${why}", why=why)
