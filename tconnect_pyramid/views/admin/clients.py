"""*Totara Connect server › Client systems*: the clients of this server, and adding one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from wtforms import BooleanField, PasswordField, StringField, TextAreaField
from wtforms.validators import DataRequired

from tconnect_pyramid.errors import PeerError
from tconnect_pyramid.peers import LAYERS, REMEDIES, Unwell
from tconnect_pyramid.server import clients, overview
from tconnect_pyramid.server.clients import LONGEST_NAME, ClientView, ClientWishes
from tconnect_pyramid.server.health import ask_client
from tconnect_pyramid.settings import LONGEST_NAME as LONGEST_URL
from tconnect_pyramid.texts import Text, plural
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.transport import CALL_TIMEOUT
from tconnect_pyramid.views.admin.pages import (
    actor,
    ask,
    asked_of,
    id_of,
    is_https,
    listing,
    path,
    present,
    show,
)
from tconnect_pyramid.views.admin.picking import fill
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.forms import Attempt, PageForm, PickerField, at_most, trimmed
from tconnect_pyramid.views.notices import go

STATES: Mapping[str, Text] = {
    clients.ACTIVE: _("Active"),
    clients.REGISTERING: _("Being registered"),
    clients.DELETED: _("Removed"),
}
TYPES: Mapping[str, Text] = {"totaralms": _("Totara Learn"), "totarasocial": _("Totara Social")}
MOST_NAMED = 3
"""Audiences, or courses, that a row of the list names."""


def includeme(config: Configurator) -> None:
    """Add the pages."""
    add_page(config, "clients", "/server/clients", index)
    add_page(config, "clients.add", "/server/clients/add", add, recent=True)
    add_page(config, "clients.card", "/server/clients/{id}", card)
    add_page(config, "clients.edit", "/server/clients/{id}/edit", edit, recent=True)
    add_page(config, "clients.remove", "/server/clients/{id}/remove", remove, recent=True)


class ClientForm(PageForm):
    """What is chosen for a client (protocol 8). Fields are named as the rules call them."""

    name = StringField(
        _("Name"),
        [DataRequired(_("Enter a name for the client site.")), at_most(LONGEST_NAME)],
        filters=[trimmed],
        description=_("Enter a name for the client site."),
        render_kw={"autocomplete": "off"},
    )
    url = StringField(
        _("Client URL"),
        [DataRequired(_("Enter the URL of the client site.")), at_most(LONGEST_URL)],
        filters=[trimmed],
        description=_(
            "The URL of the client site. This should be the URL provided when connecting to a new server."
        ),
        render_kw={"type": "url", "autocomplete": "off", "inputmode": "url"},
    )
    setup_secret = PasswordField(
        _("Client setup secret"),
        [DataRequired(_("Enter the setup secret that the client site shows."))],
        filters=[trimmed],
        description=_(
            "The setup secret for the client site. This should be the client setup secret provided when connecting "
            "to a new server."
        ),
        render_kw={"autocomplete": "off"},
    )
    restrict_to = PickerField(
        _("Restrict to audience"),
        kind="audience",
        most=1,
        description=_(
            "You can choose to only synchronise users from a specific audience from the Totara Connect server to the "
            "Totara Connect client site. The restriction is applied to all synchronised audiences and courses too, "
            "i.e. only the audience restricted gets synchronised."
        ),
    )
    to_everybody = BooleanField(
        _("Restrict to no audience any more"),
        description=_(
            "The audience that this client was restricted to is gone, so nobody is sent and nobody can sign in there. "
            "Choose another audience, or tick this to let everybody in."
        ),
    )
    add_new_courses = BooleanField(
        _("Add new courses"),
        description=_(
            "If enabled, each new course created here will be synchronised with the client to create a matching new "
            "group (Totara Social) or audience (Totara Learn). The enrolled users of the courses will be added as "
            "members to the respective groups or audiences created."
        ),
    )
    add_new_audiences = BooleanField(
        _("Add new audiences"),
        description=_(
            "If enabled, each new audience created here will be synchronised with the client to create a new group "
            "(Totara Social) or audience (Totara Learn). The members of the audiences are added as members to the "
            "respective groups or new audiences."
        ),
    )
    audiences = PickerField(
        _("Synchronised audiences"),
        kind="audience",
        description=_("Choose one or more audiences and synchronise members to the client site."),
    )
    courses = PickerField(
        _("Synchronised courses"),
        kind="course",
        description=_("Choose one or more courses and synchronise all enrolled users to the client site."),
    )
    position_frameworks = PickerField(
        _("Position frameworks"),
        kind="position_framework",
        description=_("The positions of these frameworks are sent to the client."),
    )
    organisation_frameworks = PickerField(
        _("Organisation frameworks"),
        kind="organisation_framework",
        description=_("The organisations of these frameworks are sent to the client."),
    )
    profile_fields = BooleanField(
        _("Custom profile fields"), description=_("People are sent with their custom profile fields.")
    )
    jobs = BooleanField(
        _("Job assignments"), description=_("People are sent with their job assignments, without managers.")
    )
    plugin_services = BooleanField(
        _("Plugin services"),
        description=_("The client may call services that plugins have added to this site."),
    )
    comment = TextAreaField(
        _("Comment"),
        filters=[trimmed],
        description=_("Add any applicable comments related to the client site."),
        render_kw={"rows": "3"},
    )


def index(request: Request) -> Response:
    """The clients."""
    asked = asked_of(request)
    with request.tconnect.reading() as session:
        page = overview.page_of_clients(session, asked)
        audiences, courses = overview.names_of_attached(session, list(page.rows))
    return show(
        request,
        "clients",
        "clients",
        {
            "title": _("Totara Connect clients"),
            "list": listing(request, asked, page),
            "named": {
                client.id: (_named(client.audiences, audiences), _named(client.courses, courses))
                for client in page.rows
            },
            "states": STATES,
            "is_https": is_https(request),
        },
    )


def add(request: Request) -> Response:
    """Add a client that waits for this server."""
    context = request.tconnect
    form = ClientForm.of(request, {"profile_fields": True, "jobs": True})
    del form.to_everybody
    attempt = Attempt(request, form)
    if form.is_sent(request):
        with attempt:
            try:
                made = clients.register_client(
                    context,
                    _wishes(form),
                    form.setup_secret.data,
                    actor=actor(request),
                    timeout=CALL_TIMEOUT,
                )
            except PeerError as error:
                attempt.refused = _unreached(error)
            else:
                said = _("There is now an active connection between this site and ${name}.", name=made.name)
                return go(request, path(request, "clients.card", id=made.id), said)
    return _form(request, form, _("Add client"), attempt.refused, path(request, "clients"))


def card(request: Request) -> Response:
    """How one client is, and what is chosen for it."""
    context = request.tconnect
    client = _client(request)
    tested = ask_client(context, client.id) if request.method == "POST" else None
    with context.reading() as session:
        health = overview.health_of(session, context, client)
        audiences, courses = overview.names_of_attached(session, [client])
        form = ClientForm(data=_stored(client))
        fill(session, context, form)
    return show(
        request,
        "client",
        "clients",
        {
            "title": client.name,
            "client": client,
            "state": STATES[client.state],
            "type": TYPES.get(client.clienttype),
            "health": health,
            "restricted_to": _restriction(client, audiences),
            "audiences": [audiences[id_] for id_ in client.audiences if id_ in audiences],
            "courses": [courses[id_] for id_ in client.courses if id_ in courses],
            "chosen": form,
            "tested": tested,
            "is_well": tested is not None and not isinstance(tested, Unwell),
        },
    )


def edit(request: Request) -> Response:
    """Choose anew for a client."""
    context = request.tconnect
    client = _client(request)
    form = ClientForm.of(request, _stored(client))
    del form.setup_secret
    with context.reading() as session:
        known, _courses = overview.names_of_attached(session, [client])
    is_gone = client.restrict_to is not None and client.restrict_to not in known
    if not is_gone:
        del form.to_everybody
    attempt = Attempt(request, form)
    if form.is_sent(request):
        wishes = _wishes(form)
        if is_gone and wishes.restrict_audience_id is None and not form.to_everybody.data:
            # A form that cannot show the audience must not open the client to everybody: the rule refuses it.
            wishes = replace(wishes, restrict_audience_id=client.restrict_to)
        with attempt:
            with context.unit() as session:
                clients.edit_client(session, context, client.id, wishes, actor=actor(request))
            said = _("${name} is saved.", name=form.name.data)
            return go(request, path(request, "clients.card", id=client.id), said)
    back = path(request, "clients.card", id=client.id)
    return _form(request, form, _("Edit ${name}", name=client.name), attempt.refused, back)


def remove(request: Request) -> Response:
    """Ask, and end the connection."""
    context = request.tconnect
    client = _client(request)
    attempt = Attempt(request)
    if request.method == "POST":
        with attempt:
            clients.remove_client(context, client.id, actor=actor(request))
            return go(request, path(request, "clients"), _("${name} is removed.", name=client.name))
    with context.reading() as session:
        health = overview.health_of(session, context, client)
    return ask(
        request,
        "clients",
        title=_("Remove ${name}?", name=client.name),
        consequences=[
            plural(
                "${number} sign-in there that came from here ends.",
                "${number} sign-ins there that came from here end.",
                health.sign_ins,
            ),
            _("Nobody can sign in there through this site any more, and nothing is synchronised to it."),
            _(
                "The accounts on the client stay as they are, until its administrator leaves this server there."
            ),
            _("To connect it again, it has to open a new connection."),
        ],
        button=_("Remove"),
        cancel=path(request, "clients.card", id=client.id),
        refused=attempt.refused,
    )


def _client(request: Request) -> ClientView:
    with request.tconnect.reading() as session:
        return present(clients.list_clients(session, ids=[id_of(request)]))


def _form(request: Request, form: ClientForm, title: Text, refused: str | None, back: str) -> Response:
    context = request.tconnect
    with context.reading() as session:
        fill(session, context, form)
    return show(
        request,
        "client_form",
        "clients",
        {
            "title": title,
            "form": form,
            "refused": refused,
            "back": back,
            "is_https": is_https(request),
            "asks_again": request.method == "POST" and "setup_secret" in form,
        },
    )


def _wishes(form: ClientForm) -> ClientWishes:
    wishes = ClientWishes(name=form.name.data, url=form.url.data, restrict_audience_id=form.restrict_to.one)
    chosen: dict[str, Any] = {
        name: tuple(form[name].data) if isinstance(form[name], PickerField) else form[name].data
        for name in (
            "add_new_audiences",
            "add_new_courses",
            "audiences",
            "courses",
            "profile_fields",
            "jobs",
            "plugin_services",
            "position_frameworks",
            "organisation_frameworks",
            "comment",
        )
    }
    return replace(wishes, **chosen)


def _stored(client: ClientView) -> dict[str, object]:
    return {name: getattr(client, name) for name in ClientView.__slots__}


def _restriction(client: ClientView, names: Mapping[int, str]) -> str:
    if client.restrict_to is None:
        return _("Everybody")
    gone = _("an audience that is gone, so nobody is sent and nobody can sign in there")
    return names.get(client.restrict_to, gone)


def _named(ids: tuple[int, ...], names: Mapping[int, str]) -> str:
    named = [names[id_] for id_ in ids if id_ in names]
    if len(named) <= MOST_NAMED:
        return ", ".join(named)
    listed = ", ".join(named[:MOST_NAMED])
    return plural(
        "${listed} and ${number} more", "${listed} and ${number} more", len(named) - MOST_NAMED, listed=listed
    )


def _unreached(error: PeerError) -> Text:
    """Which layer failed, why, and what to do."""
    return _(
        "${layer}: ${reason}. What to do: ${remedy}.",
        layer=LAYERS.get(error.layer, error.layer),
        reason=error.reason.rstrip(".") if type(error.reason) is str else error.reason,
        remedy=REMEDIES.get(error.layer, _("ask the administrator of that site")),
    )
