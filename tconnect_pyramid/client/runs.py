"""Runs of syncs as an administrator sees them, and the decision about one that is held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tconnect_pyramid.client.sync import approvals
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.client.sync.history import FAILED, HELD, REJECTED
from tconnect_pyramid.client.sync.plan import COLLECTIONS, REMOVALS, Action
from tconnect_pyramid.client.sync.report import LineView, RunReport
from tconnect_pyramid.client.undo import find_undoable, why_not_undone
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.paging import Asked, Page, page_of
from tconnect_pyramid.errors import Conflict, NotFound, SyncBusy
from tconnect_pyramid.models import Pause, Run, RunLine, Server
from tconnect_pyramid.texts import read
from tconnect_pyramid.texts import text as _

COMMAND = "command"
PAGE = "page"
TOGETHER = 1000
"""Lines that are read at once."""


@dataclass(frozen=True, slots=True)
class Removals:
    """What a held run would take away: how many of each action, and the first that it names."""

    counts: dict[str, int]
    named: Sequence[str]


def list_runs(session: Session, *, limit: int = 50) -> list[RunReport]:
    """The newest runs first, without their lines."""
    return [_report(row) for row in session.scalars(select(Run).order_by(Run.id.desc()).limit(limit))]


def page_of_runs(session: Session, asked: Asked, *, kind: str = "", state: str = "") -> Page[RunReport]:
    """A part of the list of runs, the newest first, without their lines; of one kind or state if it is given."""
    statement = select(Run)
    if kind:
        statement = statement.where(Run.kind == kind)
    if state:
        statement = statement.where(Run.state == state)
    page = page_of(
        session, statement, replace(asked, search="", sort="-id"), key=Run.id, orders={"id": Run.id}
    )
    return page.map(lambda rows: [_report(row[0]) for row in rows])


def page_of_lines(session: Session, run_id: int, asked: Asked) -> tuple[RunReport, Page[LineView]]:
    """One run, and a part of its lines in their order. Raises NotFound."""
    report = _report(_find(session, run_id))
    statement = select(RunLine).where(RunLine.run_id == run_id)
    page = page_of(
        session, statement, replace(asked, search="", sort=""), key=RunLine.id, orders={"id": RunLine.id}
    )
    return report, page.map(lambda rows: [_line(row[0]) for row in rows])


def removals_of(session: Session, run_id: int, *, limit: int = 10) -> Removals:
    """What is decided about when a run is held. Raises NotFound, and Conflict when it is not held."""
    run = _held(session, run_id)
    removing = RunLine.run_id == run_id, RunLine.action.in_(sorted(REMOVALS))
    counts = session.execute(select(RunLine.action, func.count()).where(*removing).group_by(RunLine.action))
    first = session.scalars(select(RunLine).where(*removing).order_by(RunLine.id).limit(limit))
    # Of a collection how many belong to it, of a member which collection; else who or what it is says enough.
    detailed = run.kind == COLLECTIONS
    named = [f"{line.subject} ({read(line.detail)})" if detailed else line.subject for line in first]
    return Removals({action: number for action, number in counts}, named)  # noqa: C416 - no pairs to mypy


@dataclass(frozen=True, slots=True)
class Offered:
    """What an administrator can do about a run that was: undo it, or resume the sync of this kind and server's id."""

    undo: bool
    resume: tuple[str, int] | None


def offered(session: Session, context: Context, run_id: int) -> Offered:
    """What can be done about a run. Raises NotFound."""
    run = _find(session, run_id)
    pause = session.scalar(select(Pause).where(Pause.run_id == run_id))
    return Offered(
        not why_not_undone(session, context, run), None if pause is None else (pause.kind, pause.server_id)
    )


def undoing(session: Session, context: Context, run_id: int) -> RunReport:
    """A run that can be undone, without its lines. Raises NotFound, and Conflict when it cannot."""
    return _report(find_undoable(session, context, run_id))


@dataclass(frozen=True, slots=True)
class KeptLines:
    """The lines of a run in their order, however many: they are read while they are gone through."""

    context: Context
    run_id: int

    def __iter__(self) -> Iterator[LineView]:
        """All of them."""
        statement = select(RunLine).where(RunLine.run_id == self.run_id).order_by(RunLine.id)
        with self.context.reading() as session:
            rows = session.scalars(statement, execution_options={"yield_per": TOGETHER})
            for some in rows.partitions(TOGETHER):
                yield from map(_line, some)


def show_run(context: Context, run_id: int) -> RunReport:
    """One run with its lines. Raises NotFound."""
    with context.reading() as session:
        return _report(_find(session, run_id), KeptLines(context, run_id))


def approve_run(context: Context, run_id: int, *, actor: str) -> RunReport:
    """Allow exactly the removals of a held run, for 24 hours, and run that sync anew; gives the new run.

    What the new run would remove beyond that is held again; what it would not remove any more is among its lines
    as `unwanted`. Raises NotFound, Conflict when the run is not held (any more), its server is gone
    or somebody else approves it in the same moment, and SyncBusy.
    Where the new run is busy, fails, or cannot begin, the held one stays held with the approval noted, for the next
    run to use; otherwise its state is `approved` as soon as the new one has taken its place.
    """
    with context.unit() as session:
        run = _held(session, run_id)
        if session.get(Server, run.server_id) is None:
            raise Conflict(_("The server of run ${id} is not connected any more.", id=str(run_id)))
        try:
            approved = approvals.approve(session, run, actor=actor, now=context.clock())
        except IntegrityError:
            raise Conflict(
                _("Somebody else approves run ${id} in this moment; look at it again.", id=str(run_id))
            ) from None
        context.audit(session, actor, "run.approved", str(run_id), kind=run.kind, removals=approved)
        kind, server_id = run.kind, run.server_id
    try:
        report = run_sync(context, kind, server_id, origin=COMMAND if actor == COMMAND else PAGE)
    except SyncBusy as error:
        raise SyncBusy(_stands(run_id, error.text)) from None
    if report.run is None or report.state == FAILED:
        return replace(report, message=_stands(run_id, report.message))
    return report


def unwanted_of(report: RunReport) -> list[LineView]:
    """What was approved and the run did not want to remove any more, each with the reason."""
    return [line for line in report.lines if line.action == Action.UNWANTED]


def reject_run(context: Context, run_id: int, *, actor: str) -> None:
    """Decide that a held run is not to be done; what was approved of this kind with this server is not any more.

    Raises NotFound, and Conflict when it is not held.
    """
    with context.unit() as session:
        run = _held(session, run_id)
        run.state = REJECTED
        approvals.withdraw(session, run)
        context.audit(session, actor, "run.rejected", str(run_id), kind=run.kind)


def _stands(run_id: int, why: str) -> str:
    return _(
        "${why} Run ${id} stays approved: the next run within 24 hours does it.", why=why, id=str(run_id)
    )


def _find(session: Session, run_id: int) -> Run:
    row = session.get(Run, run_id)
    if row is None:
        raise NotFound(_("There is no run ${id}; `tconnect client run list` shows them.", id=str(run_id)))
    return row


def _held(session: Session, run_id: int) -> Run:
    run = _find(session, run_id)
    if run.state != HELD:
        raise Conflict(
            _(
                "Run ${id} waits for no decision; its page and `tconnect client run show ${id}` say what became of it.",
                id=str(run_id),
            )
        )
    return run


def _line(row: RunLine) -> LineView:
    return LineView(row.action, row.remote_id, row.account_key, row.subject, read(row.detail), row.collection)


def _report(row: Run, lines: Iterable[LineView] = ()) -> RunReport:
    return RunReport(
        kind=row.kind,
        server=row.server_idnumber,
        run=row.id,
        state=row.state,
        counts=dict(row.counts),
        seconds=row.seconds,
        message=read(row.message),
        lines=lines,
        origin=row.origin,
        started=row.started,
        approved_by=row.approved_by,
        approved=row.approved,
    )
