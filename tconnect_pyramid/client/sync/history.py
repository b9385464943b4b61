"""The rows of runs: begun before a server is called, ended in the transaction of what the run did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from sqlalchemy import Table, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid.client.sync.ids import Numbers
from tconnect_pyramid.client.sync.report import LineView
from tconnect_pyramid.directory.bulk import put
from tconnect_pyramid.models import Run, RunLine
from tconnect_pyramid.texts import read, written
from tconnect_pyramid.texts import text as _

RUNNING = "running"
DONE = "done"
PARTIAL = "partial"
FAILED = "failed"
HELD = "held"
REJECTED = "rejected"
APPROVED = "approved"
PLANNED = "planned"
UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a plan gave: notices to deliver, and keys of new accounts by the person's id."""

    notices: list[int] = field(default_factory=list)
    created: Numbers = field(default_factory=Numbers)


def begin(session: Session, *, kind: str, server_id: int, server_idnumber: str, origin: str, now: int) -> int:
    """Write a run that begins; gives its id. The caller holds the server's lease.

    A run of this server that is still called running was killed: only one runs at a time.
    """
    session.execute(
        update(Run)
        .where(Run.server_id == server_id, Run.state == RUNNING)
        .values(state=FAILED, message=written(_("The run was interrupted; nothing was changed.")))
    )
    run = Run(
        kind=kind,
        server_id=server_id,
        server_idnumber=server_idnumber,
        state=RUNNING,
        origin=origin,
        started=now,
        counts={},
    )
    session.add(run)
    session.flush()
    return run.id


def end(
    session: Session,
    run_id: int,
    *,
    state: str,
    seconds: float,
    message: str,
    counts: Mapping[str, int] | None = None,
) -> None:
    """Write how a run ended."""
    session.execute(
        update(Run)
        .where(Run.id == run_id)
        .values(state=state, seconds=seconds, message=written(message), counts=dict(counts or {}))
    )


def tell(session: Session, run_id: int, lines: Iterable[LineView]) -> None:
    """Write lines of a run, in their order."""
    put(
        session,
        cast("Table", RunLine.__table__),
        ("run_id", "action", "remote_id", "account_key", "subject", "detail", "collection"),
        (
            (
                run_id,
                line.action,
                line.remote_id,
                line.account,
                str(line.subject),
                written(line.detail),
                line.collection,
            )
            for line in lines
        ),
    )


def replace_held(session: Session, run_id: int, *, kind: str, server_id: int, approved_since: int) -> None:
    """A newer plan of the same kind and server takes the place of one that waits for a decision.

    It has done that one where it was approved since then, in Unix seconds.
    """
    waits = select(Run.id, Run.message, Run.approved).where(
        Run.kind == kind, Run.server_id == server_id, Run.state == HELD, Run.id != run_id
    )
    for id_, message, approved in session.execute(waits).all():
        why = _("${message} (Run ${run} took its place.)", message=read(message), run=str(run_id))
        state = APPROVED if approved is not None and approved > approved_since else REJECTED
        _settle(session, id_, state, why)


def reject(session: Session, run_id: int, message: str) -> None:
    """A run that waited for a decision is not to be done any more."""
    _settle(session, run_id, REJECTED, message)


def _settle(session: Session, run_id: int, state: str, message: str) -> None:
    session.execute(update(Run).where(Run.id == run_id).values(state=state, message=written(message)))
