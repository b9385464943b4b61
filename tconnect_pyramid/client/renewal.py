"""New secrets for the connection with a server, see `server.renewal`: asked for here, and taken when they are offered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tconnect_pyramid.client.connecting import CLIENT_TYPES
from tconnect_pyramid.client.servers import ServerView, find_server
from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import Conflict, NotFound, PeerError, Refused
from tconnect_pyramid.models import Server
from tconnect_pyramid.peers import TEST_SECONDS, Credentials, call_server, not_renewed, server_peer
from tconnect_pyramid.protocol import jsend, services
from tconnect_pyramid.secretbox import digest
from tconnect_pyramid.texts import text as _


def rotate_secrets(context: Context, server_id: int, *, actor: str) -> ServerView:
    """Let a server give this site new secrets. It calls this site for that, while it is being called itself.

    Raises NotFound, Conflict when it refuses or knows no such service, and PeerError when it does not answer.
    """
    with context.reading() as session:
        row = session.get(Server, server_id)
        if row is None:
            raise NotFound(_("There is no server with the id ${id}.", id=str(server_id)))
        peer = server_peer(context.box, row)
    result = call_server(context, peer, services.RENEW_SECRETS, component=services.OUR_COMPONENT)
    if not isinstance(result, jsend.Success):
        raise Conflict(not_renewed(peer.name, result))
    with context.unit() as session:
        context.audit(session, actor, "client.server.secrets_renewed", peer.idnumber, name=peer.name)
        return find_server(session, peer.idnumber)


def take_secrets(context: Context, server_id: int, form: Mapping[str, str]) -> None:
    """Keep the secrets that a server offers, once it has answered a call by the new one at the address it has here.

    Whoever has got hold of the present secret only, cannot give us others. Raises Refused.
    """
    serversecret, clientsecret = services.read_new_secrets(form)
    with context.reading() as session:
        peer = server_peer(context.box, session.get_one(Server, server_id))
    following = replace(peer, credentials=Credentials(serversecret))
    clienttype = CLIENT_TYPES[context.settings.client_type]
    try:
        result = call_server(
            context, following, services.GET_API_VERSION, timeout=TEST_SECONDS, clienttype=clienttype
        )
    except PeerError as error:
        raise Refused(f"the client could not call this server back: {error.reason}") from error
    if not isinstance(result, jsend.Success):
        raise Refused("the server does not know the new secret")
    with context.unit() as session:
        row = session.get_one(Server, server_id)
        row.server_secret = context.box.seal(serversecret)
        row.client_secret_hash = digest(clientsecret)
        row.timemodified = context.clock()
