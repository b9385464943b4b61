"""Synchronising with servers at once, as an administrator asks for it by the command or on a page."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tconnect_pyramid.client import connecting, servers
from tconnect_pyramid.client.servers import ServerView
from tconnect_pyramid.client.sync.engine import KINDS, run_sync
from tconnect_pyramid.client.sync.report import COUNTED, RunReport
from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import Conflict, SyncBusy, TConnectError
from tconnect_pyramid.models import Run
from tconnect_pyramid.texts import text as _

HANDSHAKE = "handshake"
EVERYTHING = (HANDSHAKE, *KINDS)
"""What `synchronise` does when nothing is chosen, in this order."""
NOTHING = dict.fromkeys(COUNTED, 0)


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of one kind with one server. `is_approved`: it was held, and an administrator has approved it."""

    run: int
    state: str
    started: int
    is_approved: bool


def servers_to_ask(context: Context, who: str | None = None) -> list[ServerView]:
    """All active servers, or the one of this id or serveridnumber. Raises NotFound, and Conflict where there is none."""
    with context.reading() as session:
        if not context.options(session).client_enabled:
            raise Conflict(
                _(
                    "The client role of this site is not enabled: enable Totara Connect client in Manage authentication, or with `tconnect client enable`."
                )
            )
        if who is not None:
            return [servers.find_server(session, who)]
        found = servers.list_servers(session, active_only=True)
    if not found:
        raise Conflict(
            _(
                "This site is connected to no server: begin in Totara Connect client › Servers, or with `tconnect client connect`."
            )
        )
    return found


def synchronise(
    context: Context, server: ServerView, kinds: Iterable[str] = EVERYTHING, *, origin: str
) -> Iterator[RunReport]:
    """Do these kinds one after the other; gives a report for each that is synchronised with this server."""
    for kind in kinds:
        report = do_one(context, kind, server, origin=origin)
        if report.asked:
            yield report


def do_one(
    context: Context,
    kind: str,
    server: ServerView,
    *,
    origin: str,
    dry_run: bool = False,
    reconcile: bool = False,
) -> RunReport:
    """One of `EVERYTHING`, see `run_sync`.

    A run that is under way already, and what a handshake fails of, is told by the report.
    """
    if kind == HANDSHAKE:
        return _handshake(context, server, origin)
    try:
        return run_sync(context, kind, server.id, origin=origin, dry_run=dry_run, reconcile=reconcile)
    except SyncBusy as error:
        return RunReport(
            kind, server.idnumber, None, "failed", NOTHING, 0.0, message=error.text, origin=origin
        )


def last_runs(session: Session) -> dict[tuple[int, str], LastRun]:
    """The newest run of each kind with each server, by the server's id and the kind."""
    newest = select(func.max(Run.id)).group_by(Run.server_id, Run.kind)
    rows = session.execute(
        select(Run.server_id, Run.kind, Run.id, Run.state, Run.started, Run.approved).where(
            Run.id.in_(newest)
        )
    )
    return {
        (server_id, kind): LastRun(run, state, started, approved is not None)
        for server_id, kind, run, state, started, approved in rows
    }


def _handshake(context: Context, server: ServerView, origin: str) -> RunReport:
    began = time.monotonic()
    started = context.clock()
    try:
        state: str = "done"
        message: str = _("version ${version}", version=connecting.handshake(context, server.id))
    except TConnectError as error:
        state, message = "failed", error.text
    seconds = round(time.monotonic() - began, 3)
    return RunReport(
        HANDSHAKE,
        server.idnumber,
        None,
        state,
        NOTHING,
        seconds,
        message=message,
        origin=origin,
        started=started,
    )
