"""New secrets for a client that is connected, in both directions; a service of our own, unknown to Totara.

The server draws them and offers them to the client at its registered address; the client calls back by the new one before
it keeps them, so that nobody but this server can give it others. Until it is known that the client has them, the offer
stays, and both the present and the next secret of the client are taken: whatever breaks off, doing it again ends it.
"""

from __future__ import annotations

from dataclasses import replace

from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import Conflict
from tconnect_pyramid.models import Client
from tconnect_pyramid.peers import ClientPeer, Credentials, call_client, client_peer, not_renewed
from tconnect_pyramid.protocol import jsend, services
from tconnect_pyramid.secretbox import digest, new_token
from tconnect_pyramid.server.clients import ClientView, active_client, view_of

RENEWAL_SECONDS = 30.0
"""For the client's answer, its call back included; less than a client waits that has asked for it."""


def rotate_secrets(context: Context, client_id: int, *, actor: str) -> ClientView:
    """Give a client new secrets, and use them from now on.

    Called again after an answer was lost, it offers the same ones again. Raises NotFound, Conflict when the client is not
    active, refuses, or knows no such service, and PeerError when it does not answer.
    """
    with context.unit() as session:
        row = active_client(session, client_id)
        if row.next_client_secret is None or row.next_server_secret is None:
            serversecret = new_token()
            row.next_client_secret = context.box.seal(new_token())
            row.next_server_secret = context.box.seal(serversecret)
            row.next_server_secret_hash = digest(serversecret)
        present = client_peer(context.box, row)
        offered = context.box.open(row.next_server_secret)
        following = replace(present, credentials=Credentials(context.box.open(row.next_client_secret)))
    result = _offer(context, present, following, offered)
    if result == jsend.Error(services.invalid_client_secret().reason):
        # An offer whose answer was lost has been taken.
        result = _offer(context, following, following, offered)
    if not isinstance(result, jsend.Success):
        raise Conflict(not_renewed(present.name, result))
    with context.unit() as session:
        row = active_client(session, client_id)
        use_next(row, digest(offered))
        context.audit(session, actor, "client.secrets_renewed", row.idnumber, name=row.name)
        session.flush()
        return view_of(session, row)


def confirm(context: Context, client_id: int, secret: str) -> None:
    """The client uses its next secret for more than calling back: it has kept what it was offered."""
    with context.unit() as session:
        row = session.get(Client, client_id)
        if row is not None:
            use_next(row, digest(secret))


def use_next(row: Client, hashed: str) -> None:
    """Let the secrets that were offered be the present ones, unless they are, or others have been offered since."""
    if row.next_client_secret is not None and row.next_server_secret_hash == hashed:
        row.client_secret = row.next_client_secret
        row.server_secret_hash = hashed
        row.next_client_secret = row.next_server_secret = row.next_server_secret_hash = None


def _offer(context: Context, by: ClientPeer, following: ClientPeer, serversecret: str) -> jsend.Result:
    return call_client(
        context,
        by,
        services.RENEW_SECRETS,
        timeout=RENEWAL_SECONDS,
        component=services.OUR_COMPONENT,
        newserversecret=serversecret,
        newclientsecret=following.credentials.secret,
    )
