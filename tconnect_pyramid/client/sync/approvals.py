"""What an administrator has approved of a held run: for 24 hours, whichever run comes next, and once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.sync.guard import APPROVAL_SECONDS
from tconnect_pyramid.client.sync.plan import (
    COLLECTIONS,
    FRAMEWORK_KINDS,
    ITEM_KINDS,
    MEMBER,
    REMOVALS,
    Plan,
    RemovalOf,
    kind_of_line,
)
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.bulk import among
from tconnect_pyramid.models import Approval, Run, RunLine
from tconnect_pyramid.protocol.collections import KINDS as SETS

AT_ONCE = 1000
"""Lines that are read at once."""


def approve(session: Session, run: Run, *, actor: str, now: int) -> int:
    """Allow what a held run would remove, and note with it who did so; gives how many removals that are."""
    wanted: dict[RemovalOf, set[int]] = defaultdict(set)
    for of, remote_id, _line in removals_of(session, run):
        wanted[of].add(remote_id)
    for of, remote_ids in wanted.items():
        for some in in_batches(sorted(remote_ids)):
            # Approved before: the 24 hours begin anew.
            _forget(session, run.server_id, of, some)
            session.execute(
                insert(Approval),
                [
                    {
                        **of._asdict(),
                        "remote_id": remote_id,
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

    Else what was undone could be done again without a word.
    """
    approved = session.execute(
        select(Approval.kind, Approval.action, Approval.collection)
        .where(Approval.server_id == server_id, Approval.kind.in_(_kinds(plan.kind)))
        .distinct()
    )
    for of in [RemovalOf(*row) for row in approved]:
        for some in in_batches(plan.removals.get(of, ())):
            _forget(session, server_id, of, some)


def removals_of(session: Session, run: Run) -> Iterator[tuple[RemovalOf, int, RunLine]]:
    """What approving a held run is about: of what, the id at the server, and the line that says so."""
    lines = session.scalars(
        select(RunLine)
        .where(RunLine.run_id == run.id, RunLine.action.in_(sorted(REMOVALS)), RunLine.remote_id.is_not(None))
        .order_by(RunLine.id),
        execution_options={"yield_per": AT_ONCE},
    )
    for line in lines:
        kind = kind_of_line(run.kind, line.subject, line.collection)
        yield RemovalOf(kind, line.action, line.collection), cast("int", line.remote_id), line


def _forget(session: Session, server_id: int, of: RemovalOf, remote_ids: Iterable[int]) -> None:
    session.execute(
        delete(Approval).where(
            among(Approval.remote_id, remote_ids),
            Approval.kind == of.kind,
            Approval.action == of.action,
            Approval.collection == of.collection,
            Approval.server_id == server_id,
        )
    )


def _kinds(run_kind: str) -> Sequence[str]:
    if run_kind == COLLECTIONS:
        return (*SETS, MEMBER)
    if run_kind in ITEM_KINDS:
        return (ITEM_KINDS[run_kind], FRAMEWORK_KINDS[run_kind])
    return (run_kind,)
