"""Connecting to a server: the invitation, the server's registration here, the daily handshake (protocol 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.servers import ACTIVE
from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import Conflict, NotFound, PeerError, Refused
from tconnect_pyramid.models import ConnectionRequest, Server
from tconnect_pyramid.peers import Credentials, ServerPeer, ask_server, call_server, server_peer
from tconnect_pyramid.protocol import jsend, replies, services, versions
from tconnect_pyramid.protocol.services import Setup
from tconnect_pyramid.secretbox import digest, new_token, same
from tconnect_pyramid.texts import text as _

CLIENT_TYPES = {"lms": "totaralms", "social": "totarasocial"}
"""What a site of each `tconnect.client.type` calls itself on the wire."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What an administrator of the server needs to add this site as a client."""

    client_url: str
    setup_secret: str = field(repr=False)


def open_invitation(session: Session, context: Context, *, actor: str) -> Invitation:
    """Invite a new server. Only one invitation is open at a time: the one that is open is given again.

    Raises Conflict while the client role is disabled, as no server could then use it.
    """
    if not context.options(session).client_enabled:
        raise Conflict(
            _(
                "The client role of this site is not enabled: enable Totara Connect client in Manage authentication, or with `tconnect client enable`."
            )
        )
    current = current_invitation(session, context)
    if current is not None:
        return current
    secret = new_token()
    session.add(
        ConnectionRequest(
            id=1, secret_hash=digest(secret), secret=context.box.seal(secret), timecreated=context.clock()
        )
    )
    context.audit(session, actor, "client.connect")
    return Invitation(context.settings.site_url, secret)


def current_invitation(session: Session, context: Context) -> Invitation | None:
    """The open invitation; it stays until it is used or cancelled."""
    row = session.scalar(select(ConnectionRequest))
    return None if row is None else Invitation(context.settings.site_url, context.box.open(row.secret))


def is_invitation_open(session: Session) -> bool:
    """Whether an invitation waits to be used."""
    return session.scalar(select(ConnectionRequest.id)) is not None


def cancel_invitation(session: Session, context: Context, *, actor: str) -> bool:
    """Withdraw the open invitation; False when there is none."""
    row = session.scalar(select(ConnectionRequest))
    if row is None:
        return False
    session.delete(row)
    context.audit(session, actor, "client.connect.cancel")
    return True


def answer_setup(context: Context, form: Mapping[str, str]) -> bytes:
    """Answer a server that registers itself: the reply's body (protocol 3.3).

    The server is called back before anything is stored, so that both sides know that both ways
    work. A failed try leaves the invitation open.
    """
    try:
        setup, version = _checked_setup(context, form)
        refusal = _call_back(context, setup, version)
        if refusal is not None:
            return jsend.write(refusal)
        _store(context, setup, version)
    except Refused as refused:
        return jsend.write(jsend.from_refusal(refused))
    return jsend.write(jsend.Success())


def handshake(context: Context, server_id: int) -> int:
    """Agree with a server on the highest version both speak (protocol 10); gives that version.

    Raises PeerError, NotFound, and Conflict for a server that is being left, and when there is no version in
    common; then the connection stays as it is.
    """
    with context.reading() as session:
        row = session.get(Server, server_id)
        if row is None:
            raise NotFound(_("There is no server with the id ${id}.", id=str(server_id)))
        if row.state != ACTIVE:
            raise Conflict(
                _("This site is leaving ${name}; no version is agreed on any more.", name=row.name)
            )
        peer = server_peer(context.box, row)
    clienttype = CLIENT_TYPES[context.settings.client_type]
    offered = ask_server(context, peer, services.GET_API_VERSION, clienttype=clienttype)
    spoken = replies.read_versions(offered)
    if spoken is None:
        raise Conflict(_("${name} did not say which versions it speaks.", name=peer.name))
    version = versions.choose(*spoken)
    if version is None:
        raise Conflict(
            _(
                "${name} speaks the versions ${least} to ${most} of the protocol, this site ${our_least} to "
                "${our_most}: there is none in common. Bring the older of the two sites up to date; until then they "
                "stay connected as they are.",
                name=peer.name,
                least=spoken[0],
                most=spoken[1],
                our_least=versions.MIN_VERSION,
                our_most=versions.MAX_VERSION,
            )
        )
    if version != peer.apiversion:
        ask_server(context, peer, services.UPDATE_API_VERSION, apiversion=str(version), clienttype=clienttype)
        with context.unit() as session:
            server = session.get(Server, server_id)
            if server is not None:
                server.apiversion = version
                server.timemodified = context.clock()
    return version


def _checked_setup(context: Context, form: Mapping[str, str]) -> tuple[Setup, int]:
    """What a server says of itself, and the version to speak with it; refusals in the order of protocol 3."""
    # The secret comes first: who does not have it learns nothing else.
    secret = services.read_setupsecret(form)
    with context.reading() as session:
        expected = session.scalar(select(ConnectionRequest.secret_hash))
        enabled = context.options(session).client_enabled
        if expected is None or not same(expected, digest(secret)) or not enabled:
            raise services.invalid_setup_secret()
        setup = services.read_setup(form)
        version = versions.choose(setup.minapiversion, setup.maxapiversion)
        if version is None:
            raise services.api_version_not_supported()
        _refuse_duplicates(session, setup)
    return setup, version


def _refuse_duplicates(session: Session, setup: Setup) -> None:
    # Servers that are being left count too: their accounts are still linked (protocol 3).
    if session.scalar(select(Server.id).where(Server.idnumber == setup.serveridnumber)) is not None:
        raise services.duplicate_server_idnumber()
    if session.scalar(select(Server.id).where(Server.client_idnumber == setup.clientidnumber)) is not None:
        raise services.duplicate_client_idnumber()


def _call_back(context: Context, setup: Setup, version: int) -> jsend.Result | None:
    peer = ServerPeer(
        id=0,
        name=setup.servername,
        url=setup.serverurl,
        idnumber=setup.serveridnumber,
        apiversion=version,
        credentials=Credentials(setup.serversecret),
    )
    try:
        result = call_server(
            context,
            peer,
            services.UPDATE_API_VERSION,
            apiversion=str(version),
            clienttype=CLIENT_TYPES[context.settings.client_type],
        )
    except PeerError as error:
        return jsend.Error(f"the client could not call this server back: {error.reason}")
    return None if isinstance(result, jsend.Success) else result


def _store(context: Context, setup: Setup, version: int) -> None:
    now = context.clock()
    with context.unit() as session:
        used = session.scalars(
            # One statement decides who uses the invitation, when two servers try at once.
            delete(ConnectionRequest)
            .where(ConnectionRequest.secret_hash == digest(setup.setupsecret))
            .returning(ConnectionRequest.id)
        ).all()
        if not used:
            raise services.invalid_setup_secret()
        _refuse_duplicates(session, setup)
        session.add(
            Server(
                state=ACTIVE,
                name=setup.servername,
                url=setup.serverurl,
                idnumber=setup.serveridnumber,
                server_secret=context.box.seal(setup.serversecret),
                client_idnumber=setup.clientidnumber,
                client_secret_hash=digest(setup.clientsecret),
                apiversion=version,
                timecreated=now,
                timemodified=now,
            )
        )
        context.audit(session, f"peer:{setup.serveridnumber}", "client.server.connected", setup.servername)
