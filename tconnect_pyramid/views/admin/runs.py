"""*Synchronisations*: every run, what it did to whom, and the decision about one that is held."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from sqlalchemy.orm import Session

from tconnect_pyramid.client import runs
from tconnect_pyramid.client.servers import list_servers
from tconnect_pyramid.client.sync import pause
from tconnect_pyramid.client.undo import undo_run
from tconnect_pyramid.context import Context
from tconnect_pyramid.texts import Text, plural
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.admin.background import wait_seconds
from tconnect_pyramid.views.admin.pages import actor, ask, asked_of, existing, id_of, listing, path, show
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.admin.servers import ACTIONS, KINDS, RUN_STATES, counted, said_of_state
from tconnect_pyramid.views.forms import Attempt
from tconnect_pyramid.views.notices import go

ENTRY = "runs"
"""The entry of the menu."""
MOST_TOLD = 10
"""How many a page says at once of those that are approved and not wanted any more; the run lists all of them."""
FILTERED = {kind: label for kind, label in KINDS.items() if kind != "handshake"}
ORIGINS = {
    "schedule": _("by the schedule"),
    "command": _("by the command"),
    "page": _("by an administrator"),
}


def includeme(config: Configurator) -> None:
    """Add the pages."""
    for name, pattern, view, recent in (
        (ENTRY, "/client/runs", index, False),
        ("runs.show", "/client/runs/{id}", show_one, False),
        ("runs.approve", "/client/runs/{id}/approve", approve, True),
        ("runs.reject", "/client/runs/{id}/reject", reject, True),
        ("runs.undo", "/client/runs/{id}/undo", undo, True),
        ("runs.resume", "/client/runs/{id}/resume", resume, True),
    ):
        add_page(config, name, pattern, view, recent=recent)


def index(request: Request) -> Response:
    """The list."""
    asked = asked_of(request)
    kind, state = request.GET.get("kind", ""), request.GET.get("state", "")
    kind, state = kind if kind in FILTERED else "", state if state in RUN_STATES else ""
    with request.tconnect.reading() as session:
        page = runs.page_of_runs(session, asked, kind=kind, state=state)
        names = {server.idnumber: server.name for server in list_servers(session)}
        paused = pause.list_paused(session)
    return show(
        request,
        "runs",
        ENTRY,
        {
            "title": _("Synchronisations"),
            "list": listing(request, asked, page, kind=kind, state=state),
            "paused": paused,
            "names": names,
            "kinds": FILTERED,
            "states": RUN_STATES,
            "said_of_state": said_of_state,
            "counted": counted,
            "origins": ORIGINS,
        },
    )


def show_one(request: Request) -> Response:
    """One run with its lines."""
    id_ = id_of(request)
    asked = asked_of(request)
    with existing(), request.tconnect.reading() as session:
        run, page = runs.page_of_lines(session, id_, asked)
        offered = runs.offered(session, request.tconnect, id_)
        names = {server.idnumber: server.name for server in list_servers(session)}
        approver = _approver(session, request.tconnect, run.approved_by or "")
    return show(
        request,
        "run",
        ENTRY,
        {
            "title": _("Run ${id}", id=str(id_)),
            "run": run,
            "approver": approver,
            "offered": offered,
            "list": listing(request, asked, page),
            "names": names,
            "kinds": FILTERED,
            "states": RUN_STATES,
            "counted": counted,
            "actions": ACTIONS,
            "origins": ORIGINS,
        },
    )


def approve(request: Request) -> Response:
    """Ask, and do what a held run wanted to do."""
    context, id_ = request.tconnect, id_of(request)
    here = path(request, "runs.show", id=id_)
    if request.method == "POST":
        future = request.tconnect_background.begin(
            f"approve {id_}", partial(runs.approve_run, context, id_, actor=actor(request))
        )
        attempt = Attempt(request)
        with attempt, existing():
            try:
                report = future.result(wait_seconds(request))
            except TimeoutError:
                said = _("The synchronisation is under way. This list shows how it went.")
                return go(request, path(request, ENTRY), said)
            if report.run is None or report.state == "failed":
                return go(request, here, report.message, is_bad=True)
            there = path(request, "runs.show", id=report.run)
            is_good = report.state in {"done", "partial"}
            said = _(
                "Run ${id} is approved and done anew: ${state}.", id=str(id_), state=RUN_STATES[report.state]
            )
            points = [
                _("${subject}: ${detail}", subject=line.subject, detail=line.detail)
                for line in runs.unwanted_of(report)[:MOST_TOLD]
            ]
            return go(request, there, said, is_bad=not is_good, points=points)
        return attempt.told_at(here)
    return _ask(
        request,
        title=_("Approve run ${id}?", id=str(id_)),
        effect=_("Exactly this is allowed for 24 hours, and the synchronisation is done anew at once."),
        button=_("Approve"),
    )


def reject(request: Request) -> Response:
    """Ask, and decide that a held run is not to be done."""
    context, id_ = request.tconnect, id_of(request)
    if request.method == "POST":
        here = path(request, "runs.show", id=id_)
        attempt = Attempt(request)
        with attempt, existing():
            runs.reject_run(context, id_, actor=actor(request))
            return go(request, here, _("Run ${id} is rejected.", id=str(id_)))
        return attempt.told_at(here)
    return _ask(
        request,
        title=_("Reject run ${id}?", id=str(id_)),
        effect=_(
            "Nothing of it is done, and what was approved of its kind before is taken back. The next synchronisation "
            "will want to do it again."
        ),
        button=_("Reject"),
    )


def undo(request: Request) -> Response:
    """Ask, and take back what a run of people did."""
    context, id_ = request.tconnect, id_of(request)
    here = path(request, "runs.show", id=id_)
    attempt = Attempt(request)
    with attempt, existing():
        if request.method == "POST":
            future = request.tconnect_background.begin(
                f"undo {id_}", partial(undo_run, context, id_, actor=actor(request))
            )
            try:
                report = future.result(wait_seconds(request))
            except TimeoutError:
                said = _("Run ${id} is being undone. This page shows when it is.", id=str(id_))
                return go(request, here, said)
            left = report.counts["skipped"]
            said = (
                plural(
                    "Run ${id} is undone, but for ${number} account: it was changed since, and left.",
                    "Run ${id} is undone, but for ${number} accounts: they were changed since, and left.",
                    left,
                    id=str(id_),
                )
                if left
                else _("Run ${id} is undone.", id=str(id_))
            )
            return go(request, here, said, is_bad=bool(left))
        with context.reading() as session:
            counts = runs.undoing(session, context, id_).counts
        told = [
            *_undoing(counts),
            _("What somebody has changed since is left as it is. Passwords and pictures do not come back."),
            _("People of this server are not synchronised any more until you resume it."),
        ]
        title = _("Undo run ${id}?", id=str(id_))
        return ask(request, ENTRY, title=title, consequences=told, button=_("Undo"), cancel=here)
    return attempt.told_at(here)


def resume(request: Request) -> Response:
    """Ask, and let a sync go on that is paused since a run was undone."""
    context, id_ = request.tconnect, id_of(request)
    here = path(request, "runs.show", id=id_)
    attempt = Attempt(request)
    with attempt, existing():
        with context.unit() as session:
            paused = runs.offered(session, context, id_).resume
            if paused is None:
                said = _("Nothing is paused since run ${id}.", id=str(id_))
                return go(request, here, said, is_bad=True)
            if request.method == "POST":
                pause.resume(session, context, *paused, actor=actor(request))
                return go(request, here, _("It is synchronised again from now on."))
        told = [
            _("The next synchronisation will do again what was undone, if the server still says the same.")
        ]
        title = _("Resume what is paused since run ${id}?", id=str(id_))
        return ask(request, ENTRY, title=title, consequences=told, button=_("Resume"), cancel=here)
    return attempt.told_at(here)


def _approver(session: Session, context: Context, actor: str) -> str:
    """Who approved a run: an administrator by their name."""
    _kind, _colon, key = actor.partition(":")
    if not key.isdigit():
        return ORIGINS.get(actor, actor)
    account = context.accounts.view(session, int(key))
    return actor if account is None else account.fullname


def _undoing(counts: Mapping[str, int]) -> list[Text]:
    """What undoing does, by what the run did."""
    made, linked, updated = (counts.get(name, 0) for name in ("created", "linked", "updated"))
    suspended, lifted = (counts.get(name, 0) for name in ("suspended", "unsuspended"))
    deleted, back = (counts.get(name, 0) for name in ("deleted", "undeleted"))
    told = (
        (
            made,
            plural(
                "It suspends ${number} account that the run made.",
                "It suspends ${number} accounts that the run made.",
                made,
            ),
        ),
        (
            linked,
            plural(
                "It gives back ${number} account that the run took over, with its former way to log in.",
                "It gives back ${number} accounts that the run took over, with their former way to log in.",
                linked,
            ),
        ),
        (
            updated,
            plural(
                "It gives ${number} account its old values.",
                "It gives ${number} accounts their old values.",
                updated,
            ),
        ),
        (
            suspended,
            plural("It lifts ${number} suspension.", "It lifts ${number} suspensions.", suspended),
        ),
        (
            lifted,
            plural("It suspends ${number} account again.", "It suspends ${number} accounts again.", lifted),
        ),
        (
            deleted,
            plural(
                "It brings back ${number} deleted account.",
                "It brings back ${number} deleted accounts.",
                deleted,
            ),
        ),
        (back, plural("It deletes ${number} account again.", "It deletes ${number} accounts again.", back)),
    )
    return [sentence for number, sentence in told if number]


def _ask(request: Request, *, title: Text, effect: Text, button: Text) -> Response:
    id_ = id_of(request)
    here = path(request, "runs.show", id=id_)
    attempt = Attempt(request)
    with attempt, existing():
        with request.tconnect.reading() as session:
            removals = runs.removals_of(session, id_)
        told = [*_told(removals), effect]
        return ask(request, ENTRY, title=title, consequences=told, button=button, cancel=here)
    return attempt.told_at(here)


def _told(removals: runs.Removals) -> list[Text]:
    deleted, suspended, removed = (
        removals.counts.get(action, 0) for action in ("deleted", "suspended", "removed")
    )
    numbers = (
        (deleted, plural("It would delete ${number}.", "It would delete ${number}.", deleted)),
        (suspended, plural("It would suspend ${number}.", "It would suspend ${number}.", suspended)),
        (
            removed,
            plural("It would end ${number} membership.", "It would end ${number} memberships.", removed),
        ),
    )
    told = [sentence for number, sentence in numbers if number]
    if removals.named:
        more = sum(removals.counts.values()) > len(removals.named)
        names = ", ".join(removals.named)
        told.append(
            _("Among them: ${names}, …", names=names) if more else _("These are: ${names}", names=names)
        )
    return told
