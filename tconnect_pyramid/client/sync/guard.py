"""What a run must not do without an administrator's word."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.sync.plan import USERS, Change, Plan
from tconnect_pyramid.models import Approval

APPROVAL_SECONDS = 24 * 3600

Removal = tuple[int | None, str, str]
"""The id at the server, what it is the id of, and the action."""


def objection(session: Session, server_id: int, plan: Plan, now: int) -> str:
    """Why the run is to be held; empty when it may go on.

    An empty list makes everybody missing (protocol 9): what it would remove must have been approved,
    each by itself, within the last 24 hours. What did not come from the server goes along unasked.
    """
    if not plan.lists_nobody:
        return ""
    approved = _approved(session, server_id, now)
    removals = [
        change for change in plan.removals if change.remote_id is not None and removal(change) not in approved
    ]
    if not removals:
        return ""
    things = "people" if plan.kind == USERS else plan.kind
    return (
        f"The server sent no {things} at all, so {len(removals)} would be {_actions(removals)} here. "
        "Nothing was changed. "
        "Approve this run if that is meant, or reject it."
    )


def removal(change: Change) -> Removal:
    """What an approval of a change is about."""
    return (change.remote_id, change.kind, str(change.action))


def _approved(session: Session, server_id: int, now: int) -> set[Removal]:
    rows = session.execute(
        select(Approval.remote_id, Approval.kind, Approval.action).where(
            Approval.server_id == server_id, Approval.expires > now
        )
    )
    return {(remote_id, kind, action) for remote_id, kind, action in rows}


def _actions(removals: list[Change]) -> str:
    return " or ".join(sorted({str(change.action) for change in removals}))
