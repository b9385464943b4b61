"""*Totara Connect client › Servers*: connecting to one, its card, synchronising with it at once, and leaving it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyramid.config import Configurator
from pyramid.interfaces import IRoutesMapper
from pyramid.request import Request
from pyramid.response import Response
from wtforms import BooleanField, RadioField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired

from tconnect_pyramid.client import connecting, leaving, servers, syncing
from tconnect_pyramid.client.health import ask_server
from tconnect_pyramid.client.leaving import Effect
from tconnect_pyramid.client.runs import PAGE
from tconnect_pyramid.client.servers import ServerView
from tconnect_pyramid.client.sync import pause
from tconnect_pyramid.client.syncing import LastRun
from tconnect_pyramid.peers import Unwell
from tconnect_pyramid.texts import Text, plural
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.admin.pages import actor, ask, id_of, is_https, path, present, show
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.forms import Attempt, PageForm, at_most, in_words, trimmed
from tconnect_pyramid.views.notices import go

ENTRY = "servers"
"""The entry of the menu."""
RUN_PAGE = "tconnect.admin.runs.show"
LONGEST_COMMENT = 10_000
MOST_NAMED = 10
"""User names of accounts that are spared on leaving."""

STATES = {servers.ACTIVE: _("Active"), servers.LEAVING: _("Is being left")}
KINDS = {
    syncing.HANDSHAKE: _("Handshake"),
    "positions": _("Positions"),
    "organisations": _("Organisations"),
    "users": _("Users"),
    "collections": _("User collections"),
}
RUN_STATES = {
    "running": _("Under way"),
    "done": _("Done"),
    "partial": _("Done, but for some records"),
    "failed": _("Failed"),
    "held": _("Held, waits for a decision"),
    "approved": _("Approved"),
    "rejected": _("Rejected"),
    "undone": _("Undone"),
}
ACTIONS = {
    "created": _("created"),
    "linked": _("taken over"),
    "updated": _("updated"),
    "moved": _("moved"),
    "suspended": _("suspended"),
    "unsuspended": _("no longer suspended"),
    "deleted": _("deleted"),
    "undeleted": _("brought back"),
    "skipped": _("skipped"),
    "unchanged": _("unchanged"),
    "added": _("member added"),
    "removed": _("member removed"),
    "unwanted": _("not wanted any more"),
}
"""What a line of a run says was done."""


def includeme(config: Configurator) -> None:
    """Add the pages."""
    for name, pattern, view, recent in (
        (ENTRY, "/client/servers", index, False),
        ("servers.connect", "/client/servers/connect", connect, True),
        ("servers.cancel", "/client/servers/cancel", cancel, False),
        ("servers.await", "/client/servers/await", await_server, False),
        ("servers.edit", "/client/servers/{id}", edit, False),
        ("servers.test", "/client/servers/{id}/test", test, False),
        ("servers.sync", "/client/servers/{id}/sync", sync, False),
        ("servers.leave", "/client/servers/{id}/leave", leave, True),
    ):
        add_page(config, name, pattern, view, recent=recent)


_GUARDS = {name: name.replace(".", "_") for name in servers.GUARDS}
"""The fields of the form, by what they are called elsewhere."""
_FORCE = _("End the connection even if the server does not confirm")
_FORCED = _("Then an administrator of the server has to remove this client there.")


class ServerForm(PageForm):
    """What this site notes of a server."""

    comment = TextAreaField(
        _("Comment"),
        [at_most(LONGEST_COMMENT)],
        filters=[trimmed],
        description=_("A note for administrators of this site."),
        render_kw={"rows": "4"},
    )
    guard_people = StringField(
        _("Hold a synchronisation that removes people"),
        filters=[trimmed],
        description=_(
            "A number and a percentage, as in 20 5, that hold for this server only. Empty: what the settings say."
        ),
    )
    guard_members = StringField(
        _("Hold a synchronisation that ends memberships"),
        filters=[trimmed],
        description=_("The same for members of audiences, courses and groups, as in 200 25."),
    )
    guard_items = StringField(
        _("Hold a synchronisation that deletes positions or organisations"),
        filters=[trimmed],
        description=_("The same for positions and for organisations, as in 20 10."),
    )


class AskAgainForm(PageForm):
    """Leaving, while the server has not confirmed."""

    force = BooleanField(_FORCE, description=_FORCED)


class LeaveForm(PageForm):
    """What becomes of the people of the server."""

    accounts = RadioField(
        _("What becomes of its accounts"),
        [InputRequired(_("Choose what becomes of the accounts."))],
        choices=[
            SelectChoice("keep", _("Keep internal user")),
            SelectChoice("suspend", _("Suspend internal user")),
            SelectChoice("delete", _("Full delete internal user")),
        ],
        description=_("Administrators and protected accounts are always kept."),
    )
    new_auth = RadioField(
        _("How they log in from then on"),
        choices=[SelectChoice("manual", _("Manual accounts")), SelectChoice("nologin", _("No login"))],
        default="manual",
        description=_(
            "By a password of this site, which an administrator has to give to those who have none, or not at all."
        ),
    )
    force = BooleanField(_FORCE, description=_FORCED)


@dataclass(frozen=True, slots=True)
class Row:
    """A server with the newest run of each kind."""

    server: ServerView
    state: Text
    runs: Sequence[tuple[Text, Text, LastRun]]


def index(request: Request) -> Response:
    """The table of servers, and the invitation to a new one while it is open."""
    return _index(request)


def connect(request: Request) -> Response:
    """Invite a new server."""
    if request.method == "POST":
        context = request.tconnect
        attempt = Attempt(request)
        with attempt:
            with context.unit() as session:
                connecting.open_invitation(session, context, actor=actor(request))
            return go(request, path(request, ENTRY))
        return _index(request, attempt.refused)
    return go(request, path(request, ENTRY))


def cancel(request: Request) -> Response:
    """Withdraw the invitation."""
    if request.method != "POST":
        return go(request, path(request, ENTRY))
    context = request.tconnect
    with context.unit() as session:
        cancelled = connecting.cancel_invitation(session, context, actor=actor(request))
    said = _("The connection is cancelled.") if cancelled else _("There was no connection to cancel.")
    return go(request, path(request, ENTRY), said)


def await_server(request: Request) -> Response:
    """Whether a server has used the invitation: 204 while none has, for the script of the page."""
    context = request.tconnect
    with context.reading() as session:
        is_open = connecting.is_invitation_open(session)
    return Response(status=204 if is_open else 200, content_type=None if is_open else "text/plain")


def edit(request: Request) -> Response:
    """One server: what is known of it, and what can be done with it."""
    context = request.tconnect
    found = _found(request)
    form = ServerForm.of(request, _noted(found))
    attempt = Attempt(request, form, asked_as=_GUARDS)
    if form.is_sent(request):
        with attempt:
            with context.unit() as session:
                servers.edit_server(
                    session,
                    context,
                    found.id,
                    comment=form.comment.data,
                    guards={name: form[field].data or "" for name, field in _GUARDS.items()},
                    actor=actor(request),
                )
            return go(request, path(request, ENTRY), _("${name} is saved.", name=found.name))
    return _card(request, found, form, attempt.refused)


def test(request: Request) -> Response:
    """Call a server without changing anything, and show on its page what came of it."""
    found = _found(request)
    if request.method != "POST":
        return go(request, path(request, "servers.edit", id=found.id))
    form = ServerForm(data=_noted(found), meta=in_words(request.tconnect_words))
    return _card(request, found, form, tested=ask_server(request.tconnect, found.id))


def sync(request: Request) -> Response:
    """Synchronise everything with one server at once, and show what came of it."""
    found = _found(request)
    if request.method != "POST":
        return go(request, path(request, "servers.edit", id=found.id))
    reports = list(syncing.synchronise(request.tconnect, found, origin=PAGE))
    return show(
        request,
        "synchronised",
        ENTRY,
        {
            "title": _("Synchronisation with ${name}", name=found.name),
            "rows": [
                (KINDS[report.kind], RUN_STATES[report.state], report, counted(report.counts))
                for report in reports
            ],
            "back": path(request, "servers.edit", id=found.id),
            "run_page": _run_page(request),
        },
    )


def leave(request: Request) -> Response:
    """Ask, and end the connection with a server for good."""
    context = request.tconnect
    found = _found(request)
    is_new = found.state != servers.LEAVING
    form = (LeaveForm if is_new else AskAgainForm).of(request)
    attempt = Attempt(request, form)
    if form.is_sent(request):
        with attempt:
            left = leaving.leave(
                context,
                found.id,
                accounts=form.accounts.data if is_new else None,
                new_auth=form.new_auth.data if is_new else "manual",
                force=form.force.data,
                actor=actor(request),
            )
            return go(request, path(request, ENTRY), left.message, is_bad=not left.confirmed)
    effect = None
    if is_new:
        with context.reading() as session:
            # The choice that spares nobody but those who are always kept, so that both numbers are known.
            effect = leaving.preview(session, context, found.id, "delete")
    return ask(
        request,
        ENTRY,
        title=_("Leave ${name}?", name=found.name),
        consequences=_still_waiting(found) if effect is None else _consequences(effect),
        button=_("Leave") if is_new else _("Ask again"),
        cancel=path(request, "servers.edit", id=found.id),
        refused=attempt.refused,
        form=form,
    )


def _noted(found: ServerView) -> dict[str, str]:
    return {
        "comment": found.comment,
        **{field: found.guards.get(name, "") for name, field in _GUARDS.items()},
    }


def _card(
    request: Request,
    found: ServerView,
    form: ServerForm,
    refused: str | None = None,
    tested: str | Unwell | None = None,
) -> Response:
    with request.tconnect.reading() as session:
        paused = [each for each in pause.list_paused(session) if each.server_id == found.id]
    return show(
        request,
        "server",
        ENTRY,
        {
            "title": found.name,
            "row": _rows(request, [found])[0],
            "is_active": found.state == servers.ACTIVE,
            "form": form,
            "refused": refused,
            "paused": paused,
            "unwell": tested if isinstance(tested, Unwell) else None,
            "well": None if isinstance(tested, Unwell) else tested,
            "run_page": _run_page(request),
        },
    )


def _index(request: Request, refused: str | None = None) -> Response:
    context = request.tconnect
    with context.reading() as session:
        found = servers.list_servers(session)
        paused = pause.list_paused(session)
        invitation = connecting.current_invitation(session, context)
    return show(
        request,
        "servers",
        ENTRY,
        {
            "title": _("Totara Connect servers"),
            "rows": _rows(request, found),
            "paused": paused,
            "invitation": invitation,
            "refused": refused,
            "is_https": is_https(request),
            "run_page": _run_page(request),
        },
    )


def _found(request: Request) -> ServerView:
    id_ = id_of(request)
    with request.tconnect.reading() as session:
        return present([each for each in servers.list_servers(session) if each.id == id_])


def _rows(request: Request, found: Sequence[ServerView]) -> list[Row]:
    with request.tconnect.reading() as session:
        last = syncing.last_runs(session)
    return [
        Row(
            server,
            STATES[server.state],
            [
                (label, said_of_state(run.state, is_approved=run.is_approved), run)
                for kind, label in KINDS.items()
                if (run := last.get((server.id, kind))) is not None
            ],
        )
        for server in found
    ]


def said_of_state(state: str, *, is_approved: bool) -> Text:
    """How a run ended, in words."""
    if state == "held" and is_approved:
        return _("Held, approved")
    return RUN_STATES.get(state, _("Done"))


def _run_page(request: Request) -> str | None:
    """The route of the page of one run, where this site has it."""
    return RUN_PAGE if request.registry.getUtility(IRoutesMapper).get_route(RUN_PAGE) is not None else None


def counted(counts: Mapping[str, int]) -> list[Text]:
    """The numbers of a run in words, by what was done; those that are not 0."""
    return [_counted(action, number) for action, number in counts.items() if number]


def _counted(action: str, number: int) -> Text:
    if action == "added":
        return plural("${number} member added", "${number} members added", number)
    if action == "removed":
        return plural("${number} member removed", "${number} members removed", number)
    return _("${number} ${done}", number=number, done=ACTIONS.get(action, action))


def _still_waiting(found: ServerView) -> list[Text]:
    return [
        _(
            "This site has left ${name}, which has not confirmed it yet. It is asked again every hour.",
            name=found.name,
        )
    ]


def _consequences(effect: Effect) -> list[Text]:
    told = [
        plural(
            "${number} account that came from it becomes what you choose below.",
            "${number} accounts that came from it become what you choose below.",
            effect.deleted,
        ),
        plural("${number} sign-in is ended.", "${number} sign-ins are ended.", effect.sign_ins),
        _(
            "What came from it is this site's own from then on. Audiences or groups: ${audiences}, positions: "
            "${positions}, organisations: ${organisations}.",
            audiences=effect.audiences,
            positions=effect.positions,
            organisations=effect.organisations,
        ),
        _("Nobody signs in here through it any more. To connect again, begin with a new invitation."),
    ]
    if effect.spared:
        told.insert(1, told_of_spared(effect.spared))
    return told


def told_of_spared(usernames: Sequence[str]) -> Text:
    """Whose accounts stay as they are when a server, or this way to log in, is left."""
    return plural(
        "${number} account of an administrator, or protected, is kept whatever you choose: ${names}.",
        "${number} accounts of administrators, or protected, are kept whatever you choose: ${names}.",
        len(usernames),
        names=", ".join(usernames[:MOST_NAMED]) + (", …" if len(usernames) > MOST_NAMED else ""),
    )
