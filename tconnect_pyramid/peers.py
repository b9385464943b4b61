"""Calling a peer: its address and secret as plain data, taken from its row before the call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from tconnect_pyramid.context import Context
from tconnect_pyramid.models import Client, Server
from tconnect_pyramid.protocol import jsend, paths, services
from tconnect_pyramid.secretbox import SecretBox
from tconnect_pyramid.transport import CALL_TIMEOUT, LIST_LIMIT, call, call_for_data

PERSON_WAITS = 15.0
"""Seconds for a call that a person waits for, with a browser open.

Short, because such calls can wait for each other: with all threads of two sites busy signing people
in, none is left to answer the other site. They then fail soon, with an offer to try again.
"""


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """What authenticates this site at the peer. Never shown by `repr`."""

    secret: str


@dataclass(frozen=True, slots=True)
class ClientPeer:
    """A client of this site, as far as calling it goes."""

    id: int
    name: str
    url: str
    idnumber: str
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class ServerPeer:
    """A server of this site, as far as calling it goes. `idnumber` is its `serveridnumber`."""

    id: int
    name: str
    url: str
    idnumber: str
    apiversion: int
    credentials: Credentials


def client_peer(box: SecretBox, row: Client) -> ClientPeer:
    """The peer of a client's row."""
    return ClientPeer(row.id, row.name, row.url, row.idnumber, Credentials(box.open(row.client_secret)))


def server_peer(box: SecretBox, row: Server) -> ServerPeer:
    """The peer of a server's row."""
    secret = Credentials(box.open(row.server_secret))
    return ServerPeer(row.id, row.name, row.url, row.idnumber, row.apiversion, secret)


def call_client(
    context: Context, peer: ClientPeer, service: str, *, timeout: float = CALL_TIMEOUT, **parameters: str
) -> jsend.Result:
    """Call a service of a client. Raises PeerError when no JSend reply comes back."""
    form = services.call_client(peer.idnumber, peer.credentials.secret, service, **parameters)
    return call(context.transport, paths.join(peer.url, paths.CLIENT_SEP), form, timeout=timeout)


def call_server(
    context: Context, peer: ServerPeer, service: str, *, timeout: float = CALL_TIMEOUT, **parameters: str
) -> jsend.Result:
    """Call a service of a server. Raises PeerError when no JSend reply comes back."""
    form = services.call_server(peer.idnumber, peer.credentials.secret, service, **parameters)
    return call(context.transport, paths.join(peer.url, paths.SERVER_SEP), form, timeout=timeout)


def ask_server(
    context: Context, peer: ServerPeer, service: str, *, timeout: float = CALL_TIMEOUT, **parameters: str
) -> object:
    """Call a service of a server for its data. Raises PeerError, also when the server refuses."""
    form = services.call_server(peer.idnumber, peer.credentials.secret, service, **parameters)
    return call_for_data(context.transport, paths.join(peer.url, paths.SERVER_SEP), form, timeout=timeout)


def receive_list(context: Context, peer: ServerPeer, service: str) -> BinaryIO:
    """Fetch a whole list into a spool file before anything of it is believed. Raises PeerError."""
    form = services.call_server(peer.idnumber, peer.credentials.secret, service)
    url = paths.join(peer.url, paths.SERVER_SEP)
    return context.transport.post(url, form, timeout=CALL_TIMEOUT, limit=LIST_LIMIT)
