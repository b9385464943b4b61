"""Whether a server of this client is well: one call that changes nothing."""

from __future__ import annotations

from functools import partial

from tconnect_pyramid.client.connecting import CLIENT_TYPES
from tconnect_pyramid.context import Context
from tconnect_pyramid.models import Server
from tconnect_pyramid.peers import (
    REMEDIES,
    TEST_SECONDS,
    Unwell,
    call_server,
    looked_at,
    refusing,
    server_peer,
)
from tconnect_pyramid.protocol import jsend, replies, services, versions
from tconnect_pyramid.texts import text as _


def ask_server(context: Context, server_id: int) -> str | Unwell:
    """The version that is spoken with a server, or what is wrong. Outside of any transaction."""
    return looked_at(partial(_ask, context, server_id))


def _ask(context: Context, server_id: int) -> str | Unwell:
    with context.reading() as session:
        peer = server_peer(context.box, session.get_one(Server, server_id))
    result = call_server(
        context,
        peer,
        services.GET_API_VERSION,
        timeout=TEST_SECONDS,
        clienttype=CLIENT_TYPES[context.settings.client_type],
    )
    if not isinstance(result, jsend.Success):
        return refusing(result)
    spoken = replies.read_versions(result.data)
    if spoken is None:
        return Unwell(_("it did not say which versions of the protocol it speaks"), REMEDIES["json"])
    version = versions.choose(*spoken)
    if version is None:
        return Unwell(
            _(
                "it speaks the versions ${least} to ${most} of the protocol, this site ${ours_least} to ${ours_most}",
                least=spoken[0],
                most=spoken[1],
                ours_least=versions.MIN_VERSION,
                ours_most=versions.MAX_VERSION,
            ),
            _("bring the older of the two sites up to date"),
        )
    if version != peer.apiversion:
        return Unwell(
            _("version ${now} is in use, and both sites speak ${then}", now=peer.apiversion, then=version),
            _("run `tconnect client sync handshake`"),
        )
    return _("version ${version}", version=version)
