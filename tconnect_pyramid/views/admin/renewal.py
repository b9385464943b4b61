"""New secrets for a connection, in either role."""

from __future__ import annotations

from collections.abc import Callable

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from tconnect_pyramid.client import renewal as of_servers
from tconnect_pyramid.client.servers import ServerView, list_servers
from tconnect_pyramid.server import renewal as of_clients
from tconnect_pyramid.server.clients import ClientView, list_clients
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.admin.pages import actor, ask, id_of, path, present
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.forms import Attempt
from tconnect_pyramid.views.notices import go


def includeme(config: Configurator) -> None:
    """Add the pages."""
    add_page(config, "clients.rotate", "/server/clients/{id}/secrets", rotate_client, recent=True)
    add_page(config, "servers.rotate", "/client/servers/{id}/secrets", rotate_server, recent=True)


def rotate_client(request: Request) -> Response:
    """Ask, and give a client new secrets."""
    context = request.tconnect
    with context.reading() as session:
        client = present(list_clients(session, ids=[id_of(request)]))
    return _asked(
        request,
        client,
        "clients",
        path(request, "clients.card", id=client.id),
        lambda: of_clients.rotate_secrets(context, client.id, actor=actor(request)),
    )


def rotate_server(request: Request) -> Response:
    """Ask, and let a server give this site new secrets."""
    context = request.tconnect
    with context.reading() as session:
        id_ = id_of(request)
        server = present([each for each in list_servers(session, active_only=True) if each.id == id_])
    return _asked(
        request,
        server,
        "servers",
        path(request, "servers.edit", id=server.id),
        lambda: of_servers.rotate_secrets(context, server.id, actor=actor(request)),
    )


def _asked(
    request: Request, peer: ClientView | ServerView, entry: str, back: str, rotate: Callable[[], object]
) -> Response:
    attempt = Attempt(request)
    if request.method == "POST":
        with attempt:
            rotate()
            return go(request, back, _("The secrets of the connection with ${name} are new.", name=peer.name))
    return ask(
        request,
        entry,
        title=_("Renew the secrets of ${name}?", name=peer.name),
        consequences=[
            _(
                "Both sites get new secrets by which they know each other, and refuse the old ones from then on."
            ),
            _(
                "Sign-ins go on. What is under way at that moment may fail, and is done again by the next run."
            ),
            _("The other site has to be one of this project: a Totara site cannot renew secrets."),
        ],
        button=_("Renew"),
        cancel=back,
        refused=attempt.refused,
    )
