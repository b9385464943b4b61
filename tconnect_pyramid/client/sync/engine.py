"""One run of a sync from beginning to end: receive, read, plan, guard, apply. Only here is their order known."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from tconnect_pyramid.client.sync import approvals, guard, history, lease
from tconnect_pyramid.client.sync.apply_collections import apply_collections
from tconnect_pyramid.client.sync.apply_hierarchy import apply_hierarchy
from tconnect_pyramid.client.sync.apply_users import apply_users
from tconnect_pyramid.client.sync.pause import paused_by
from tconnect_pyramid.client.sync.plan import (
    COLLECTIONS,
    ITEM_KINDS,
    ORGANISATIONS,
    POSITIONS,
    USERS,
    Action,
    Lines,
    Plan,
)
from tconnect_pyramid.client.sync.plan_collections import plan_collections
from tconnect_pyramid.client.sync.plan_hierarchy import plan_hierarchy
from tconnect_pyramid.client.sync.plan_users import plan_users
from tconnect_pyramid.client.sync.read import read_trees
from tconnect_pyramid.client.sync.receive import LARGEST_WHOLE, Reply, receive
from tconnect_pyramid.client.sync.report import RunReport
from tconnect_pyramid.client.sync.single import OnePerson
from tconnect_pyramid.client.sync.unwanted import tell_unwanted
from tconnect_pyramid.context import Context
from tconnect_pyramid.delivery.outbox import deliver_now
from tconnect_pyramid.directory.nouns import MANY
from tconnect_pyramid.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    PlanOutdated,
    TConnectError,
    TransactionOpen,
)
from tconnect_pyramid.garbage import unsearched
from tconnect_pyramid.models import Server
from tconnect_pyramid.options import Options
from tconnect_pyramid.peers import ServerPeer, server_peer
from tconnect_pyramid.protocol import services
from tconnect_pyramid.protocol.versions import FIRST_VERSION_WITH_JOBS
from tconnect_pyramid.texts import text as _

FINAL = _(
    "Deleting is final here: the account table of this site keeps nobody who is deleted, so it cannot be undone."
)


@dataclass(frozen=True, slots=True)
class _Steps:
    receive: Callable[[Context, ServerPeer], AbstractContextManager[Any]]
    read: Callable[[Any], Any]
    plan: Callable[..., Any]
    apply: Callable[[Session, Context, ServerPeer, Any, int], history.Applied]
    # Passes over what a digest says is in order, unless it is to reconcile.
    has_digests: bool = False
    # Is about all that the server has: the guard looks at it, and it takes the place of a held run.
    is_whole: bool = True


_STEPS = {
    POSITIONS: _Steps(
        partial(receive, service=services.GET_POSITIONS, limit=LARGEST_WHOLE),
        partial(read_trees, POSITIONS),
        partial(plan_hierarchy, kind=POSITIONS),
        apply_hierarchy,
    ),
    ORGANISATIONS: _Steps(
        partial(receive, service=services.GET_ORGANISATIONS, limit=LARGEST_WHOLE),
        partial(read_trees, ORGANISATIONS),
        partial(plan_hierarchy, kind=ORGANISATIONS),
        apply_hierarchy,
    ),
    # People and collections are read while they are planned: there may be more than fit into memory.
    USERS: _Steps(
        partial(receive, service=services.GET_USERS),
        lambda reply: reply,
        plan_users,
        apply_users,
        has_digests=True,
    ),
    COLLECTIONS: _Steps(
        partial(receive, service=services.GET_USER_COLLECTIONS),
        lambda reply: reply,
        plan_collections,
        apply_collections,
    ),
}

KINDS = tuple(_STEPS)
"""What can be synchronised, in the order that brings everything soonest."""

_OPTIONAL: Mapping[str, Callable[[Options], bool]] = {
    POSITIONS: lambda options: options.client_sync_positions,
    ORGANISATIONS: lambda options: options.client_sync_organisations,
}
"""The kinds that an administrator may turn off, and that version 1 does not know."""


def run_sync(
    context: Context,
    kind: str,
    server_id: int,
    *,
    origin: str = "command",
    dry_run: bool = False,
    reconcile: bool = False,
    look: Callable[[Reply], None] | None = None,
) -> RunReport:
    """Make what came from a server as the server says, for one of `KINDS`.

    A mistake of the peer, of its data or of the site's set-up is told by the report's state `failed`
    and its message; then nothing was changed. A dry run writes nothing at all. `origin` is `command`,
    `page` or `schedule`. With `reconcile` the accounts themselves are compared, also of people of whom the server
    says what it said before: that finds what was changed here by hand. `look` is shown the reply of a dry run,
    before a plan is made of it. A kind that is not synchronised with this server, see `why_not`, is told by a report
    that is `done` (or `planned`) without a run; one that is paused since a run was undone, by one that is `held`, unless
    it is a dry run. Raises InvalidInput for an unknown kind, NotFound for an unknown server,
    SyncBusy while another run works on the same server.
    """
    if kind not in _STEPS:
        raise InvalidInput(
            "kind",
            _("There is no sync of ${kind}; there are ${kinds}.", kind=repr(kind), kinds=", ".join(KINDS)),
        )
    with context.reading() as session:
        row = _server(session, server_id)
        idnumber = row.idnumber
        reason = why_not(session, context, kind, row)
    sync = _Sync(context, kind, _STEPS[kind], server_id, idnumber, origin, reconcile=reconcile)
    if reason:
        return sync.not_asked(reason, dry_run=dry_run)
    if dry_run:
        return sync.dry_run(look)
    with lease.held(context, f"server:{server_id}", f"{kind}, {_by(origin)}") as grip:
        with context.reading() as session:
            paused = paused_by(session, kind, server_id)
        return sync.paused(paused) if paused else sync.run(grip)


def run_person(
    context: Context, server_id: int, who: OnePerson, *, origin: str = "command", dry_run: bool = False
) -> RunReport:
    """Bring the account of one person in step, as a run of people would; told as `run_sync` tells it.

    No guard is asked, and a pause since a run was undone does not hold it: an administrator has named the person.
    Raises NotFound for an unknown server, and SyncBusy.
    """
    with context.reading() as session:
        idnumber = _server(session, server_id).idnumber
    steps = _Steps(who.receive, lambda answer: answer, who.plan, who.apply, is_whole=False)
    sync = _Sync(context, USERS, steps, server_id, idnumber, origin, reconcile=True)
    if dry_run:
        return sync.dry_run(None)
    with lease.held(context, f"server:{server_id}", f"one person, {_by(origin)}") as grip:
        return sync.run(grip)


def _server(session: Session, server_id: int) -> Server:
    row = session.get(Server, server_id)
    if row is None:
        raise NotFound(_("There is no server with the id ${id}.", id=str(server_id)))
    return row


def _by(origin: str) -> str:
    return f"by {origin}, process {os.getpid()}"


def why_not(session: Session, context: Context, kind: str, server: Server) -> str:
    """Why a kind is not synchronised with a server at all; empty when it is."""
    wanted = _OPTIONAL.get(kind)
    if wanted is None:
        return ""
    if not wanted(context.options(session)):
        return _(
            "The setting client.sync_${kind} is off, so nothing was asked and nothing was changed.", kind=kind
        )
    if server.apiversion < FIRST_VERSION_WITH_JOBS:
        return _(
            "Version ${version} of the protocol, which is spoken with this server, knows no ${kinds}; "
            "nothing was asked and nothing was changed.",
            version=server.apiversion,
            kinds=MANY[ITEM_KINDS[kind]],
        )
    return ""


class _Sync:
    def __init__(
        self,
        context: Context,
        kind: str,
        steps: _Steps,
        server_id: int,
        idnumber: str,
        origin: str,
        *,
        reconcile: bool,
    ) -> None:
        self.context = context
        self.kind = kind
        self.steps = steps
        self.server_id = server_id
        self.idnumber = idnumber
        self.origin = origin
        self.more = {"reconcile": reconcile} if self.steps.has_digests else {}
        self.began = time.monotonic()
        self.started = context.clock()

    def not_asked(self, reason: str, *, dry_run: bool) -> RunReport:
        """Nothing at all, and why."""
        state = history.PLANNED if dry_run else history.DONE
        return replace(self._report(None, state, message=reason), asked=False)

    def paused(self, reason: str) -> RunReport:
        """Nothing, until an administrator lets it go on."""
        return self._report(None, history.HELD, message=reason)

    def dry_run(self, look: Callable[[Reply], None] | None) -> RunReport:
        """Everything but writing."""
        try:
            peer = self._peer()
            with self.steps.receive(self.context, peer) as reply:
                if look is not None:
                    look(reply)
                plan, objection = self._plan(peer, self.steps.read(reply))
        except TransactionOpen:
            raise
        except (TConnectError, SQLAlchemyError) as error:
            return self._report(None, history.FAILED, message=_words(error))
        state = history.HELD if objection else history.PLANNED
        return self._report(None, state, plan, message=objection or plan.note)

    def run(self, grip: lease.Grip) -> RunReport:
        """The whole of it, under the server's lease."""
        with self.context.unit() as session:
            run_id = history.begin(
                session,
                kind=self.kind,
                server_id=self.server_id,
                server_idnumber=self.idnumber,
                origin=self.origin,
                now=self.started,
            )
        try:
            return self._run(grip, run_id)
        except TransactionOpen as error:
            self._fail(run_id, _words(error))
            raise
        except (TConnectError, SQLAlchemyError) as error:
            return self._fail(run_id, _words(error))
        except BaseException as error:
            self._fail(
                run_id, _("The run was ended by ${kind}; nothing was changed.", kind=type(error).__name__)
            )
            raise

    def _run(self, grip: lease.Grip, run_id: int) -> RunReport:
        peer = self._peer()
        with self.steps.receive(self.context, peer) as reply:
            lease.beat(self.context, grip)
            incoming = self.steps.read(reply)
            lease.beat(self.context, grip)
            try:
                report, notices = self._plan_and_settle(grip, run_id, peer, incoming)
            except (IntegrityError, PlanOutdated):
                # A sign-in made the same account, somebody took the name or became an administrator, after the plan was made.
                report, notices = self._plan_and_settle(grip, run_id, peer, incoming)
        deliver_now(self.context, notices)
        return report

    def _plan_and_settle(
        self, grip: lease.Grip, run_id: int, peer: ServerPeer, incoming: object
    ) -> tuple[RunReport, list[int]]:
        plan, objection = self._plan(peer, incoming)
        applied = history.Applied()
        with self.context.unit() as session, unsearched():
            lease.confirm(session, grip, self.context.clock())
            if objection:
                state, message = history.HELD, objection
            else:
                applied = self.steps.apply(session, self.context, peer, plan, run_id)
                if self.steps.is_whole:
                    approvals.use_up(session, self.server_id, plan)
                state = history.PARTIAL if plan.faults else history.DONE
                message = plan.note
            report = self._report(run_id, state, plan, applied, message)
            if objection:
                history.tell(session, run_id, report.lines)
            history.end(
                session,
                run_id,
                state=state,
                seconds=report.seconds,
                message=message,
                counts=report.counts,
            )
            if self.steps.is_whole:
                history.replace_held(
                    session,
                    run_id,
                    kind=self.kind,
                    server_id=self.server_id,
                    approved_since=self.context.clock() - guard.APPROVAL_SECONDS,
                )
        return report, applied.notices

    def _peer(self) -> ServerPeer:
        with self.context.reading() as session:
            row = session.get(Server, self.server_id)
            if row is None or row.state != "active":
                raise Conflict(
                    _("The connection to this server is being ended; nothing is synchronised any more.")
                )
            if not self.context.options(session).client_enabled:
                raise Conflict(
                    _(
                        "The client role of this site is not enabled: enable Totara Connect client in Manage authentication, or with `tconnect client enable`."
                    )
                )
            return server_peer(self.context.box, row)

    def _plan(self, peer: ServerPeer, incoming: object) -> tuple[Plan, str]:
        with self.context.reading() as session, unsearched():
            plan = self.steps.plan(session, self.context, peer, incoming, **self.more)
            objection = ""
            if self.steps.is_whole:
                objection = guard.objection(session, self.context, self.server_id, plan)
                tell_unwanted(session, self.context, self.server_id, plan)
        if self.kind == USERS and plan.changes.counts[Action.DELETED] and not self._can_restore():
            plan.note = _both(plan.note, FINAL)
            objection = _both(objection, FINAL) if objection else ""
        return plan, objection

    def _can_restore(self) -> bool:
        return self.context.accounts.columns.keeps("deleted")

    def _fail(self, run_id: int, message: str) -> RunReport:
        report = self._report(run_id, history.FAILED, message=message)
        with self.context.unit() as session:
            history.end(
                session, run_id, state=report.state, seconds=report.seconds, message=message, counts={}
            )
        return report

    def _report(
        self,
        run_id: int | None,
        state: str,
        plan: Plan | None = None,
        applied: history.Applied | None = None,
        message: str = "",
    ) -> RunReport:
        plan = plan or Plan(self.kind)
        applied = applied or history.Applied()
        return RunReport(
            kind=self.kind,
            server=self.idnumber,
            run=run_id,
            state=state,
            counts=plan.counts(),
            seconds=round(time.monotonic() - self.began, 3),
            message=message,
            lines=Lines(plan.changes, applied.created),
            origin=self.origin,
            started=self.started,
        )


def _both(first: str, second: str) -> str:
    return _("${first} ${second}", first=first, second=second) if first else second


def _words(error: Exception) -> str:
    """An error for the run's message. A database's first line only: the others quote rows."""
    if isinstance(error, DBAPIError):
        first = str(error.orig).partition("\n")[0]
        return _("The database refused: ${reason}. Nothing was changed.", reason=first)
    if isinstance(error, SQLAlchemyError):
        return _("The database refused (${kind}). Nothing was changed.", kind=type(error).__name__)
    return error.text if isinstance(error, TConnectError) else str(error)
