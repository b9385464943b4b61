"""Receiving a list: whole, JSON, and a success, before anything of it is believed."""

from __future__ import annotations

from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import PeerError
from tconnect_pyramid.peers import ServerPeer, receive_list
from tconnect_pyramid.protocol import jsend, paths
from tconnect_pyramid.texts import text as _


def receive(context: Context, peer: ServerPeer, service: str) -> object:
    """The data of a server's successful answer.

    Raises PeerError when nothing usable arrives or the server refuses, BadReply when what arrives
    is no JSend document.
    """
    with receive_list(context, peer, service) as spool:
        body = spool.read()
    result = jsend.read(body)
    if isinstance(result, jsend.Success):
        return result.data
    url = paths.join(peer.url, paths.SERVER_SEP)
    raise PeerError(
        "POST",
        url,
        "refused",
        _("${service} was refused: ${answer}", service=service, answer=jsend.describe(result)),
    )
