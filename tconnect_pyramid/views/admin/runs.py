"""*Synchronisations*: every run, what it did to whom, and the decision about one that is held."""

from __future__ import annotations

from functools import partial

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPNotFound
from pyramid.request import Request
from pyramid.response import Response

from tconnect_pyramid.client import runs
from tconnect_pyramid.client.servers import list_servers
from tconnect_pyramid.errors import NotFound
from tconnect_pyramid.texts import Text, plural
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.admin.background import wait_seconds
from tconnect_pyramid.views.admin.pages import actor, ask, asked_of, id_of, listing, path, show
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.admin.servers import COUNTS, KINDS, RUN_STATES
from tconnect_pyramid.views.forms import Attempt
from tconnect_pyramid.views.notices import go

ENTRY = "runs"
"""The entry of the menu."""
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
    return show(
        request,
        "runs",
        ENTRY,
        {
            "title": _("Synchronisations"),
            "list": listing(request, asked, page, kind=kind, state=state),
            "names": names,
            "kinds": FILTERED,
            "states": RUN_STATES,
            "counts": COUNTS,
            "origins": ORIGINS,
        },
    )


def show_one(request: Request) -> Response:
    """One run with its lines."""
    id_ = id_of(request)
    asked = asked_of(request)
    try:
        with request.tconnect.reading() as session:
            run, page = runs.page_of_lines(session, id_, asked)
            names = {server.idnumber: server.name for server in list_servers(session)}
    except NotFound:
        raise HTTPNotFound from None
    return show(
        request,
        "run",
        ENTRY,
        {
            "title": _("Run ${id}", id=str(id_)),
            "run": run,
            "list": listing(request, asked, page),
            "names": names,
            "kinds": FILTERED,
            "states": RUN_STATES,
            "counts": COUNTS,
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
        with attempt:
            try:
                report = future.result(wait_seconds(request))
            except NotFound:
                raise HTTPNotFound from None
            except TimeoutError:
                said = _("The synchronisation is under way. This list shows how it went.")
                return go(request, path(request, ENTRY), said)
            there = here if report.run is None else path(request, "runs.show", id=report.run)
            is_good = report.state in {"done", "partial"}
            said = _(
                "Run ${id} is approved and done anew: ${state}.", id=str(id_), state=RUN_STATES[report.state]
            )
            return go(request, there, said, is_bad=not is_good)
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
        with attempt:
            try:
                runs.reject_run(context, id_, actor=actor(request))
            except NotFound:
                raise HTTPNotFound from None
            return go(request, here, _("Run ${id} is rejected.", id=str(id_)))
        return attempt.told_at(here)
    return _ask(
        request,
        title=_("Reject run ${id}?", id=str(id_)),
        effect=_("Nothing of it is done. The next synchronisation will want to do it again."),
        button=_("Reject"),
    )


def _ask(request: Request, *, title: Text, effect: Text, button: Text) -> Response:
    id_ = id_of(request)
    here = path(request, "runs.show", id=id_)
    attempt = Attempt(request)
    with attempt:
        try:
            with request.tconnect.reading() as session:
                removals = runs.removals_of(session, id_)
        except NotFound:
            raise HTTPNotFound from None
        told = [*_told(removals), effect]
        return ask(request, ENTRY, title=title, consequences=told, button=button, cancel=here)
    return attempt.told_at(here)


def _told(removals: runs.Removals) -> list[Text]:
    told = [
        plural("It would delete ${number}.", "It would delete ${number}.", removals.counts.get("deleted", 0)),
        plural(
            "It would suspend ${number}.", "It would suspend ${number}.", removals.counts.get("suspended", 0)
        ),
    ]
    if removals.members:
        told.append(
            plural(
                "It would end ${number} membership.", "It would end ${number} memberships.", removals.members
            )
        )
    if removals.named:
        more = sum(removals.counts.values()) > len(removals.named)
        told.append(_("Among them: ${names}", names=", ".join(removals.named) + (", …" if more else "")))
    return told
