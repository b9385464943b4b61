"""Peers that a test plays by itself, and rows that connect a site with them."""

from __future__ import annotations

import io
from collections.abc import Callable

from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import PeerError
from tconnect_pyramid.models import Client, Server
from tconnect_pyramid.protocol import jsend
from tconnect_pyramid.secretbox import digest

SERVERIDNUMBER = "5f41a34102c491d0a74b0384be69b1f360c3897b"
SERVERSECRET = "9e5fd840889cb8c885e4af0a154a5377b65998f5"
CLIENTIDNUMBER = "65bc1ec1a2c9f2e9a11eea57e7dd3379cdc3f720"
CLIENTSECRET = "cb4ec3bea562f1675bcb95525ff3326e75af1d7f"


class PlayedPeer:
    """A transport whose other end is a function of the test: `answer(url, form)` gives the reply.

    The reply is a JSend result, raw bytes, or an exception to raise. `calls` keeps what was asked.
    """

    def __init__(self, answer: Callable[[str, dict[str, str]], object]) -> None:
        self.answer = answer
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.check_idle: Callable[[], None] = lambda: None

    def post(self, url, form, *, timeout, limit):
        self.check_idle()
        self.calls.append((url, dict(form)))
        reply = self.answer(url, dict(form))
        if isinstance(reply, Exception):
            raise reply
        return io.BytesIO(reply if isinstance(reply, bytes) else jsend.write(reply))

    @property
    def services(self) -> list[str]:
        return [form.get("service", "setup") for _, form in self.calls]


def always(result: object = jsend.Success()) -> PlayedPeer:
    """A peer that gives the same reply to everything."""
    return PlayedPeer(lambda url, form: result)


def unreachable() -> PlayedPeer:
    """A peer that is down."""
    return PlayedPeer(lambda url, form: PeerError("POST", url, "connect", "connection refused"))


def add_server(context: Context, **more) -> int:
    """Connect a site to the server of the recordings; gives the row's id."""
    with context.unit() as session:
        values = {
            "state": "active",
            "name": "Totara server",
            "url": "http://127.0.0.1:8101",
            "idnumber": SERVERIDNUMBER,
            "server_secret": context.box.seal(SERVERSECRET),
            "client_idnumber": CLIENTIDNUMBER,
            "client_secret_hash": digest(CLIENTSECRET),
            "apiversion": 2,
            "comment": "",
            "timecreated": context.clock(),
            "timemodified": context.clock(),
        }
        row = Server(**{**values, **more})
        session.add(row)
        session.flush()
        return row.id


def add_client(context: Context, **more) -> int:
    """Register a client, by default the one of the recordings; gives the row's id."""
    with context.unit() as session:
        values = {
            "state": "active",
            "name": "Totara client",
            "url": "http://127.0.0.1:8102",
            "idnumber": CLIENTIDNUMBER,
            "client_secret": context.box.seal(CLIENTSECRET),
            "server_secret_hash": digest(SERVERSECRET),
            "apiversion": 2,
            "clienttype": "totaralms",
            "timecreated": context.clock(),
            "timemodified": context.clock(),
        }
        row = Client(**{**values, **more})
        session.add(row)
        session.flush()
        return row.id


def client_call(service: str, **parameters: str) -> dict[str, str]:
    """The form of the recorded server's call of the recorded client."""
    return {
        "clientidnumber": CLIENTIDNUMBER,
        "clientsecret": CLIENTSECRET,
        "service": service,
        **parameters,
    }
