"""Calling a peer: its address and secret as plain data, taken from its row before the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO

from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import PeerError
from tconnect_pyramid.models import Client, Server
from tconnect_pyramid.protocol import jsend, paths, services
from tconnect_pyramid.secretbox import CannotDecrypt, SecretBox
from tconnect_pyramid.texts import Text
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.transport import CALL_TIMEOUT, LIST_LIMIT, call, call_for_data

PERSON_WAITS = 15.0
"""Seconds for a call that a person waits for, with a browser open.

Short, because such calls can wait for each other: with all threads of two sites busy signing people
in, none is left to answer the other site. They then fail soon, with an offer to try again.
"""


TEST_SECONDS = 10.0
"""Seconds for a call by which somebody only looks whether a peer is well."""

REMEDIES: Mapping[str, Text] = MappingProxyType(
    {
        "address": _("mend the peer's address, or permit its network in the ini file"),
        "dns": _("mend the peer's address, or this computer's name servers"),
        "connect": _("see whether the peer runs, and whether a firewall lies between"),
        "tls": _("renew the peer's certificate, or name its authority in tconnect.network.ca_file"),
        "http": _("see whether the address is the peer's base address, and what its proxy answers"),
        "timeout": _("see why the peer is slow, and whether a firewall lies between"),
        "size": _("see what answers at the peer's address"),
        "json": _("see what answers at the peer's address: no Totara Connect site does"),
    }
)
"""What to do about a call that failed, by the layer of its `PeerError`."""

LAYERS: Mapping[str, Text] = MappingProxyType(
    {
        "address": _("The address may not be called"),
        "dns": _("The name of the site was not found (DNS)"),
        "connect": _("Nobody answers at the address"),
        "tls": _("The secure connection failed (TLS)"),
        "http": _("The answer is no success (HTTP)"),
        "timeout": _("The answer took too long"),
        "size": _("The answer is too large"),
        "json": _("What answers there is no Totara Connect site"),
        "refused": _("The site refuses"),
    }
)
"""Where a call failed, in words, by the layer of its `PeerError`."""

_ENDED_THERE = _(
    "the server has ended the connection: leave it here too, with `tconnect client server leave`; after that the "
    "two sites can be connected anew"
)
_REFUSALS: Mapping[str, Text] = MappingProxyType(
    {
        "invalid server secret or idnumber": _ENDED_THERE,
        "connect server not enabled": _(
            "let the server's administrator enable it: `tconnect server enable` there"
        ),
        "connect client is not active": _ENDED_THERE,
        "invalid client secret or idnumber": _("the client does not know this site any more: remove it here"),
        "connect client not enabled": _(
            "let the client's administrator enable it: `tconnect client enable` there"
        ),
        "connect server is not active": _("the client is leaving this server: remove it here"),
    }
)


@dataclass(frozen=True, slots=True)
class Unwell:
    """What is wrong with a peer, and what to do."""

    found: str
    remedy: str


def looked_at(ask: Callable[[], str | Unwell]) -> str | Unwell:
    """What a call by which somebody looks at a peer comes to, whatever goes wrong on the way."""
    try:
        return ask()
    except PeerError as error:
        found = _("${layer}: ${reason}", layer=error.layer, reason=error.reason)
        return Unwell(found, REMEDIES.get(error.layer, ""))
    except CannotDecrypt as error:
        return Unwell(error.text, _("mend tconnect.secret_keys"))


def refusing(result: jsend.Fail | jsend.Error) -> Unwell:
    """What a refusal of such a call means."""
    said = jsend.describe(result)
    remedy = _REFUSALS.get(said, _("ask the administrator of that site"))
    return Unwell(_("it refuses: ${said}", said=said), remedy)


def not_renewed(name: str, result: jsend.Fail | jsend.Error) -> Text:
    """Why the secrets of the connection with a peer of this name stay as they are, and what to do."""
    if jsend.describe(result) == services.invalid_component(services.OUR_COMPONENT).reason:
        return _(
            "${name} cannot renew secrets, as no Totara site and no older version of this one can: to have new ones, end the "
            "connection and connect anew.",
            name=name,
        )
    unwell = refusing(result)
    return _(
        "The secrets stay as they are, as ${name} says: ${found}. What to do: ${remedy}.",
        name=name,
        found=unwell.found,
        remedy=unwell.remedy,
    )


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


def receive_list(context: Context, peer: ServerPeer, service: str, limit: int = LIST_LIMIT) -> BinaryIO:
    """Fetch a whole list of at most `limit` bytes into a spool file before anything of it is believed. Raises PeerError."""
    form = services.call_server(peer.idnumber, peer.credentials.secret, service)
    url = paths.join(peer.url, paths.SERVER_SEP)
    return context.transport.post(url, form, timeout=CALL_TIMEOUT, limit=limit)
